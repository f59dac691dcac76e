"""Stage 4 of 8. Trains one model on FER-2013, and validates it on held-out FER-2013 and on CK+.

Reads  FER-Original-Dataset, FER-Original-Dataset-Augmented (from stages 2 and 3)
Writes develop_baseline_model/models/model_NNNNN/, and prints that folder as its last line
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/convolutional_nn_pytorch.py\n"
        "  python develop_baseline_model/models/convolutional_nn_pytorch.py --fer 0.95 --fer-aug 0.03 --seed 1",
    )
    for name, default, images in (
        ("--fer", 1.0, "FER-2013's images"),
        ("--fer-aug", 0.01, "their variants"),
        ("--ckp", 1.0, "CK+'s images (validation only)"),
        ("--ckp-aug", 0.01, "their variants (validation only)"),
    ):
        help_text = f"part of {images} to draw, 0-1 (default: %(default)s)"
        parser.add_argument(name, type=cli.fraction, default=default, metavar="F", help=help_text)
    cli.add_fer_usage_option(parser)
    cli.add_training_options(parser)
    cli.add_device_options(parser)
    parser.add_argument(
        "--resume",
        metavar="MODEL",
        help="go on with an interrupted run; its own settings count, no other option",
    )
    options = parser.parse_args()

    from emotorch import experiment, runs
    from emotorch.data.selection import Factors
    from emotorch.paths import Paths

    paths = Paths.from_environment()
    if options.resume:
        run = experiment.resume(paths, runs.find(paths, options.resume))
    else:
        factors = Factors(options.fer, options.fer_aug, options.ckp, options.ckp_aug)
        settings = experiment.Settings.from_options(options, factors, options.fer_usage)
        run = experiment.train_new(paths, settings)
    print(run.folder)


if __name__ == "__main__":
    cli.run(main, interrupted="--resume MODEL goes on after the last finished epoch")
