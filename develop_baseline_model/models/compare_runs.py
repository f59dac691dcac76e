"""Is the difference between trained models real? Tests them on images that none of them was trained on.

Reads  each MODEL/model.pth, run.json and image_usage.csv, and the dataset
Writes develop_baseline_model/models/run_comparison_<time>/: comparison.txt, runs.csv, groups.csv, differences.csv,
       differences.png

All runs predict the same images. McNemar's exact test and a bootstrap by source image; Holm's correction where more
than two are compared. Runs that differ by seed only are averaged: mean, spread, and a test over seeds and images.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/compare_runs.py model_00001 model_00002\n"
        "  python develop_baseline_model/models/compare_runs.py model_00001 model_00004 --scheme emotorch4",
    )
    parser.add_argument("models", metavar="MODEL", nargs="+", help="two or more model folders' names, or paths to them")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        default="fer",
        help=f"{cli.KNOWN_DATASETS}, or a folder of class folders; images that any of the runs was "
        "trained on are left out (default: %(default)s)",
    )
    parser.add_argument("--each-run", action="store_true", help="average no seeds: compare run with run")
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.analyses.candidates import load_candidates
    from emotorch.analyses.run_comparison import compare, describe, write_comparison
    from emotorch.paths import Paths

    paths = Paths.from_environment()
    candidates = load_candidates(
        paths, options.models, device=options.device, threads=options.threads, scheme=options.scheme
    )
    comparison = compare(candidates, options.dataset, each_run=options.each_run)
    folder = write_comparison(paths.models, comparison)
    print(describe(comparison))
    print(folder)


if __name__ == "__main__":
    cli.run(main)
