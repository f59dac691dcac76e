"""Stage 6 of 8. Ranks all trained models by how closely they behave like the published original.

Reads  develop_baseline_model/models/model_*/ (matrices and accuracies), and model_original/
Writes develop_baseline_model/models/comparison_results_<time>.csv, most similar first

Models without a CK+ matrix come after the complete ones, ranked on FER alone.
"""

from emotorch import cli

SHOWN = 5


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/models/compare_models_to_original.py")
    parser.add_argument(
        "--accuracy-weight",
        type=cli.weight,
        default=0.0,
        metavar="W",
        help="of the accuracies' distance, in squared percentage points (default: %(default)s)",
    )
    parser.add_argument(
        "--matrix-weight",
        type=cli.weight,
        default=1.0,
        metavar="W",
        help="of the confusion matrices' distances (default: %(default)s)",
    )
    options = parser.parse_args()

    from emotorch.analysis.compare import compare_runs
    from emotorch.paths import Paths

    comparison = compare_runs(
        Paths.from_environment(),
        accuracy_weight=options.accuracy_weight,
        matrix_weight=options.matrix_weight,
    )
    for name, reason in comparison.left_out:
        print(f"left out: {name} ({reason})")
    print(f"most like the original, of {len(comparison.distances)}:")
    for rank, distance in enumerate(comparison.distances[:SHOWN], start=1):
        note = f"  [{distance.note}]" if distance.note else ""
        print(f"  {rank}. {distance.model:<14} distance {distance.combined:.5f}{note}")
    print(comparison.file)


if __name__ == "__main__":
    cli.run(main)
