"""Stage 8 of 8. Draws a model's confusion matrices side by side: FER and CK+, or what else it was validated on.

Reads  MODEL/confusion_matrix_<set>_val.csv, confusion_counts_<set>_val.csv
Writes MODEL/confusion_matrices_fer_vs_ckp.png; of a run on other data MODEL/confusion_matrices.png
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/plot_confusion_matrix.py model_00001\n"
        "  python develop_baseline_model/models/plot_confusion_matrix.py model_original",
    )
    cli.add_model_argument(parser, or_newest=True)
    options = parser.parse_args()

    from emotorch.paths import Paths
    from emotorch.runs.confusion import plot_run_confusion
    from emotorch.runs.folder import named_or_newest

    print(plot_run_confusion(named_or_newest(Paths.from_environment(), options.model)))


if __name__ == "__main__":
    cli.run(main)
