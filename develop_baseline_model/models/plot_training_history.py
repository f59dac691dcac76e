"""Stage 8 of 8. Draws a model's loss and accuracy over the epochs.

Reads  MODEL/training_history_{fer,ckp,combined}.csv
Writes MODEL/training_history.png
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/models/plot_training_history.py model_00001")
    cli.add_model_argument(parser, or_newest=True)
    options = parser.parse_args()

    from emotorch.paths import Paths
    from emotorch.runs.folder import named_or_newest
    from emotorch.runs.history import plot_run_history

    print(plot_run_history(named_or_newest(Paths.from_environment(), options.model)))


if __name__ == "__main__":
    cli.run(main)
