"""Optional. Copies the variants of the training's own split into folders, for other programs.

Reads  FER-Original-Dataset-Augmented (from stage 3)
Writes TRAIN-VAL DATA/FER-Training-Subset-Augmented, FER-Validation-Subset-Augmented, CKP-Validation-Subset-Augmented;
       with another --fer-usage than all also FER-Test-Subset-Augmented, the official tests that do not train;
       of another dataset (--train-on RAF, CKP or NAME) RAF-Augmented/train, RAF-Augmented/val, and, where it has an
       official test, RAF-Augmented/test

For another scheme than the default, the folder is called TRAIN-VAL DATA-<scheme>.
Training does not need it: stage 4 splits by itself, in the same way.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__, "python develop_baseline_model/helpers/create_train_test_subsets_augmented.py --train-on RAF"
    )
    cli.add_subset_options(parser)
    options = vars(parser.parse_args())

    from emotorch.data.subsets import create
    from emotorch.labels import get_scheme
    from emotorch.paths import Paths

    scheme = get_scheme(options.pop("scheme"))
    print(*create(Paths.from_environment(), scheme, augmented=True, **options), sep="\n")


if __name__ == "__main__":
    cli.run(main, interrupted=cli.GOES_ON)
