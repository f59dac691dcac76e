"""Optional. Copies the original images of the training's own split into folders, for other programs.

Reads  FER-Original-Dataset (from stage 2)
Writes TRAIN-VAL DATA/FER-Training-Subset, FER-Validation-Subset, CKP-Validation-Subset

For another scheme than the default, the folders' names have the scheme's behind them.
Training does not need it: stage 4 splits by itself, in the same way.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/helpers/create_train_test_subsets.py")
    cli.add_subset_options(parser)
    options = parser.parse_args()

    from emotorch.data.selection import DatasetIndex
    from emotorch.data.subsets import create
    from emotorch.labels import get_scheme
    from emotorch.paths import Paths

    scheme = get_scheme(options.scheme)
    paths = Paths.from_environment().for_scheme(scheme.name)
    index = DatasetIndex.load(paths, scheme)
    counts = create(index, augmented=False, fer_usage=options.fer_usage, force=options.force)
    for folder, images in counts.items():
        print(f"{paths.subsets / folder}: {images} images")


if __name__ == "__main__":
    cli.run(main)
