"""Stage 6 of 8. Ranks all trained models by how closely they behave like the published original.

Reads  develop_baseline_model/models/model_*/ (matrices and accuracies), and model_original/
Writes develop_baseline_model/models/comparison_results_<time>.csv, most similar first, with 95% intervals, factors
       and macro-F1, and comparison_<time>.png: every model's distance by rank and over what varies

Models without a CK+ matrix come after the complete ones, ranked on FER alone. The intervals come of resampling
each model's validation images; the original stays fixed, since how many images are behind its matrices was never
published. Models that are trained on other data than FER, or have other labels, come last, those of equal classes
and data together: no original was published for them, and they are ranked by what their recipe watches (its
validation loss, accuracy or macro-F1). Whether one of them is better beyond chance, compare_runs.py tells sharper.
"""

from emotorch import cli


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
    parser.add_argument(
        "--leaky", action="store_true", help="compare runs of the published split, or with --keep-copies, too"
    )
    options = parser.parse_args()
    if not 0 < options.accuracy_weight + options.matrix_weight < 1e6:
        parser.error("--accuracy-weight and --matrix-weight: one must be above 0, and both together below 1e6")

    from emotorch.analyses.comparison import comparison_figure, describe, write_comparison
    from emotorch.analyses.distance import Weights
    from emotorch.figures.canvas import save
    from emotorch.paths import Paths

    weights = Weights(options.accuracy_weight, options.matrix_weight)
    paths, workers = Paths.from_environment(), cli.available_cores()
    comparison = write_comparison(paths, weights, leaky=options.leaky, workers=workers)
    stem = comparison.file.stem.replace("comparison_results", "comparison")
    picture = save(comparison_figure(comparison), comparison.file.with_name(f"{stem}.png"))
    print(describe(comparison))
    print(f"picture: {picture}")
    print(comparison.file)


if __name__ == "__main__":
    cli.run(main)
