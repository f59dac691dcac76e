"""Stage 4 of 8. Trains one model of any recipe on FER-2013 (or another dataset), and validates it.

Reads  FER-Original-Dataset, FER-Original-Dataset-Augmented (from stages 2 and 3)
Writes develop_baseline_model/models/model_NNNNN/, with its classification reports and losses printed; that folder is
the last line

Started by torchrun it is one training by several processes, on a GPU each or on the cores of a CPU: the same model,
to rounding, as by one process.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/convolutional_nn_pytorch.py\n"
        "  python develop_baseline_model/models/convolutional_nn_pytorch.py --fer 0.95 --fer-aug 0.03 --seed 1\n"
        "  python develop_baseline_model/models/convolutional_nn_pytorch.py --recipe emotion_classifier "
        "--set learning_rate=5e-4\n"
        "  torchrun --nproc_per_node=4 develop_baseline_model/models/convolutional_nn_pytorch.py --recipe compact",
    )
    for name, default, images in (
        ("--fer", "1", "the training dataset's images"),
        ("--fer-aug", "the recipe's, 0.01 for the baseline", "their variants"),
        ("--ckp", "1", "CK+'s images (validation only)"),
        ("--ckp-aug", "the recipe's, 0.01 for the baseline", "their variants (validation only)"),
    ):
        help_text = f"part of {images} to draw, 0-1 (default: {default})"
        parser.add_argument(name, type=cli.fraction, metavar="F", help=help_text)
    cli.add_training_options(parser)
    cli.add_device_options(parser)
    parser.add_argument(
        "--tensorboard", action="store_true", help="write logs for TensorBoard too, into the model folder"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=cli.seconds,
        default=120,
        metavar="SECONDS",
        help="how often an epoch that lasts is saved: what a kill loses at most (default: %(default)s)",
    )
    parser.add_argument(
        "--resume",
        metavar="MODEL",
        help="go on with an interrupted run; its own settings count, no other option",
    )
    parser.add_argument("--list-recipes", action="store_true", help="list the systems that can be trained, and stop")
    parser.add_argument(
        "--show-recipe",
        metavar="NAME",
        help="print a recipe with all its fields, as TOML, and its network's layers, and stop; --set counts",
    )
    options = parser.parse_args()

    if options.list_recipes or options.show_recipe:
        from emotorch.reports import recipes

        print(recipes.show(options.show_recipe, options.set) if options.show_recipe else recipes.list_all())
        return

    from emotorch.experiment.settings import Settings
    from emotorch.experiment.train import resume, train_new
    from emotorch.paths import Paths
    from emotorch.runs.folder import find_run
    from emotorch.runs.results import read_report
    from emotorch.training import distributed

    paths = Paths.from_environment()
    with distributed.process_group():
        if options.resume:
            run = resume(paths, find_run(paths, options.resume))
        else:
            run = train_new(paths, Settings.from_options(options, paths))
        if distributed.is_main_process():
            print(read_report(run))
            print(run.folder)


if __name__ == "__main__":
    cli.run(main, interrupted="--resume MODEL goes on from its last checkpoint")
