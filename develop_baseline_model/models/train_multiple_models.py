"""Stage 5 of 8. Trains many models, each on its own part of the data or by its own variation of the recipe.

Reads  FER-Original-Dataset, FER-Original-Dataset-Augmented (from stages 2 and 3)
Writes develop_baseline_model/models/model_NNNNN/ for each run, and sweep_<time>/ with plan.csv, written first,
results.csv, a row as each run ends, and sweep.json

The same command goes on with a sweep that is unfinished, and begins another when it is finished; by whichever engine.
"""

from emotorch import cli

# The published sweep: 300 models. Change it here, or by options.
NUM_MODELS = 300
STRATEGY = "random"
RECIPE = "emotorch"
SEED = 42
FER_RANGE = (0.9, 1.0)
FER_AUG_RANGE = (0.0, 0.1)
CKP_RANGE = (0.9, 1.0)
CKP_AUG_RANGE = (0.0, 0.1)
# Numbers of the recipe to vary too, as of --vary: "learning_rate=1e-4:1e-2:log".
VARY: tuple[str, ...] = ()


def main() -> int:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/train_multiple_models.py --num-models 20\n"
        "  python develop_baseline_model/models/train_multiple_models.py --num-models 60 --strategy guided "
        "--vary learning_rate=1e-4:1e-2:log --vary network_config.filters=6:16\n"
        "  python develop_baseline_model/models/train_multiple_models.py --num-models 1000 --engine ray "
        "--address HOST:6379",
    )
    plan = parser.add_argument_group("plan")
    plan.add_argument(
        "--num-models",
        type=cli.positive_integer,
        default=NUM_MODELS,
        metavar="N",
        help="runs to train; a few dozen show the spread (default: %(default)s)",
    )
    plan.add_argument(
        "--strategy",
        choices=("random", "grid", "guided"),
        default=STRATEGY,
        help="how runs are chosen: random draws evenly; grid takes the smallest grid with as many points, its numbers "
        "of levels within one of each other, thinned to the number of models; guided looks for what is like the "
        "original, by the runs before (its plan grows run by run; needs Optuna) (default: %(default)s)",
    )
    for name, (low, high), images in (
        ("fer", FER_RANGE, "the training dataset's images"),
        ("fer-aug", FER_AUG_RANGE, "their variants"),
        ("ckp", CKP_RANGE, "CK+'s images"),
        ("ckp-aug", CKP_AUG_RANGE, "their variants"),
    ):
        plan.add_argument(
            f"--{name}-range",
            type=cli.number_range,
            default=(low, high),
            metavar="LOW:HIGH",
            help=f"part of {images} to draw (default: {low:g}:{high:g})",
        )
    plan.add_argument(
        "--vary",
        action="append",
        metavar="KEY=LOW:HIGH[:log]",
        help="vary a number of the recipe too, for example learning_rate=1e-4:1e-2:log; may be repeated",
    )
    plan.add_argument(
        "--new", action="store_true", help="begin another sweep though the same is unfinished, or running"
    )
    engine = parser.add_argument_group("engine")
    engine.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="where it runs: on this machine's cores, or on a Ray cluster whose nodes have this checkout installed; "
        "with --device cuda each run there gets a GPU (default: %(default)s)",
    )
    engine.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the Ray cluster (default: the one that this machine is in)",
    )
    engine.add_argument(
        "--workers",
        type=cli.positive_integer,
        metavar="N",
        help="models to train at once; their files are the same for any number (default: as many, up to the cores "
        "this process may use, as a short measurement finds worth while; on a cluster, as it has room for)",
    )
    cli.add_training_options(parser)
    cli.add_device_options(parser)
    parser.set_defaults(recipe=RECIPE, seed=SEED, threads=1)
    options = parser.parse_args()
    if options.address and options.engine != "ray":
        parser.error("--address is of a Ray cluster: give --engine ray too")

    if options.engine == "local":
        from emotorch.sweep.preload import preload

        preload()
    from emotorch.experiment.settings import Settings
    from emotorch.paths import Paths
    from emotorch.runs.folder import FINISHED
    from emotorch.sweep.local import local_engine
    from emotorch.sweep.plan import Design, FactorRanges, parse_dimension
    from emotorch.sweep.ray_engine import ray_engine
    from emotorch.sweep.scheduler import run_sweep, summary

    settings, paths = Settings.from_options(options), Paths.from_environment()
    design = Design(
        options.strategy,
        options.num_models,
        options.seed,
        FactorRanges(options.fer_range, options.fer_aug_range, options.ckp_range, options.ckp_aug_range),
        tuple(parse_dimension(settings.recipe, text) for text in options.vary or VARY),
    )
    if options.engine == "ray":
        open_engine = ray_engine(paths, options.address, options.workers)
    else:
        open_engine = local_engine(paths, options.workers)
    sweep = run_sweep(paths, settings, design, open_engine, new=options.new)
    print(summary(sweep.results.values()))
    print(sweep.folder)
    return cli.EXIT_FAILED if any(result.status != FINISHED for result in sweep.results.values()) else 0


if __name__ == "__main__":
    cli.run(main, interrupted="the same command goes on from here, with what was finished and begun")
