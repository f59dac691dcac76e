"""Stage 8 of 8. Draws a model's loss and accuracy over the epochs.

Reads  MODEL/training_history_{fer,ckp,combined}.csv
Writes MODEL/training_history.png
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/models/plot_training_history.py model_00001")
    cli.add_model_argument(parser)
    options = parser.parse_args()

    from emotorch.paths import Paths
    from emotorch.runs.folder import find_run, newest_run
    from emotorch.runs.history import plot_run_history

    paths = Paths.from_environment()
    print(plot_run_history(find_run(paths, options.model) if options.model else newest_run(paths)))


if __name__ == "__main__":
    cli.run(main)
