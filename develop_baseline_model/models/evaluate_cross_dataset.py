"""Does a model hold on another dataset? Scores every model on every dataset, and what it loses beside its own.

Reads  each MODEL/model.pth, run.json and image_usage.csv, and the datasets
Writes develop_baseline_model/models/cross_dataset_<time>/: matrix.txt, matrix.csv, classes.csv, matrix.png,
       findings.json

Models of different label schemes are compared on the classes that all share; what has no counterpart is listed with
its number of images. Images that a model was trained on are left out of its score, and counted.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/evaluate_cross_dataset.py --models model_00001 model_00004\n"
        "  python develop_baseline_model/models/evaluate_cross_dataset.py --models model_00001 --datasets fer my/faces",
    )
    parser.add_argument("--models", metavar="MODEL", nargs="+", help="model folders' names, or paths to them")
    parser.add_argument(
        "--datasets",
        metavar="NAME",
        nargs="+",
        default=[],
        help=f"{cli.KNOWN_DATASETS}, or folders of class folders; of your own data, its folder in "
        "FER-Original-Dataset (default: the known datasets that stage 2 has read, but not fer-private and fer-test); "
        "known datasets that the models were trained on are added",
    )
    cli.add_device_options(parser)
    options = parser.parse_args()
    if not options.models:
        parser.error("--models must name at least one model")

    from emotorch.analyses.candidates import load_candidates
    from emotorch.analyses.cross_dataset import describe, score, write_cross_dataset
    from emotorch.paths import Paths

    paths = Paths.from_environment()
    candidates = load_candidates(paths, options.models, device=options.device, threads=options.threads)
    found = score(candidates, options.datasets)
    folder = write_cross_dataset(paths.models, found)
    print(describe(found))
    print(folder)


if __name__ == "__main__":
    cli.run(main)
