"""Stage 5 of 8. Trains many models, each on its own part of the data or by its own variation of the recipe.

Reads  FER-Original-Dataset (stage 2), and FER-Original-Dataset-Augmented (stage 3) where runs draw variants
Writes develop_baseline_model/models/model_NNNNN/ for each run, and sweep_<time>/ with plan.csv, written first,
results.csv, a row as each run ends, and sweep.json

The baseline's runs draw variants, unless --fer-aug-range 0:0 --ckp-aug-range 0:0 says otherwise, so that it needs stage
3. The other recipes use none, and need stage 2 alone, with their label scheme (--scheme seven, for most). Runs are
ranked by their distance to the published original; where it has other classes, by what the recipe watches.

The same command goes on with a sweep that is unfinished, and begins another when it is finished; by whichever engine.
"""

from emotorch import cli

# The published sweep: 300 models. Change it here, or by options. The ranges are those of a recipe that uses variants.
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

_MOST_RUNS = 1_000_000


def main() -> int:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/train_multiple_models.py --num-models 20\n"
        "  python develop_baseline_model/models/train_multiple_models.py --num-models 60 --strategy guided "
        "--vary learning_rate=1e-4:1e-2:log --vary network_config.filters=6:16\n"
        "  python develop_baseline_model/models/train_multiple_models.py --num-models 12 --recipe shared_cnn "
        "--vary learning_rate=1e-4:1e-2:log\n"
        "  python develop_baseline_model/models/train_multiple_models.py --num-models 1000 --engine ray "
        "--address HOST:6379",
    )
    plan = parser.add_argument_group("plan")
    cli.add_count_option(plan, "--num-models", "runs to train; a few dozen show the spread", NUM_MODELS)
    plan.add_argument(
        "--strategy",
        choices=("random", "grid", "guided"),
        default=STRATEGY,
        help="how runs are chosen: random draws evenly; grid takes the smallest grid with as many points, its numbers "
        "of levels within one of each other, thinned to the number of models; guided looks for what ranks "
        "best, by the runs before (its plan grows run by run; needs Optuna) (default: %(default)s)",
    )
    for name, (low, high), images, own in (
        ("fer", FER_RANGE, "the training dataset's images", "all"),
        ("fer-aug", FER_AUG_RANGE, "their variants", "none"),
        ("ckp", CKP_RANGE, "CK+'s images", "all"),
        ("ckp-aug", CKP_AUG_RANGE, "their variants", "none"),
    ):
        plan.add_argument(
            f"--{name}-range",
            type=cli.number_range,
            metavar="LOW:HIGH",
            help=f"part of {images} to draw (default: {low:g}:{high:g} for a recipe that uses variants, as the "
            f"baseline does; {own} for one that uses none)",
        )
    what = "train each of them under so many seeds, so that what is varied can be told from chance"
    cli.add_count_option(plan, "--seeds", what, 1)
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
        help="where it runs: on this machine's cores, or on a Ray cluster (`ray start --head`) whose nodes have this "
        "checkout installed; with --device cuda each run there gets a GPU (default: %(default)s)",
    )
    engine.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="of the Ray cluster (default: the one that this machine is in)",
    )
    cli.add_count_option(
        engine,
        "--workers",
        "models to train at once; their files are the same for any number (default: as many, up to the cores "
        "this process may use, as a short measurement finds worth while; on a cluster, as it has room for)",
    )
    cli.add_training_options(parser)
    cli.add_device_options(parser)
    parser.set_defaults(recipe=RECIPE, seed=SEED, threads=1)
    options = parser.parse_args()
    if options.address and options.engine != "ray":
        parser.error("--address is of a Ray cluster: give --engine ray too")
    runs = options.num_models * options.seeds
    if runs > _MOST_RUNS:
        parser.error(f"--num-models times --seeds: at most {_MOST_RUNS:,} runs")
    if options.seed + runs >= 2**32:
        parser.error(f"--seed {options.seed}: its runs' seeds would exceed {2**32 - 1}")

    if options.engine == "local":
        from emotorch.sweep.preload import preload

        preload()
    from emotorch.experiment.settings import Settings
    from emotorch.paths import Paths
    from emotorch.runs.folder import FINISHED
    from emotorch.sweep.folder import read_plan
    from emotorch.sweep.local import local_engine
    from emotorch.sweep.plan import FACTOR_NAMES, Design, FactorRanges, choose_ranges, parse_dimension
    from emotorch.sweep.progress import best_runs, summary
    from emotorch.sweep.ray_engine import ray_engine
    from emotorch.sweep.scheduler import run_sweep
    from emotorch.tables import to_text

    paths = Paths.from_environment()
    settings = Settings.from_options(options, paths)
    published = FactorRanges(FER_RANGE, FER_AUG_RANGE, CKP_RANGE, CKP_AUG_RANGE)
    design = Design(
        options.strategy,
        options.num_models * options.seeds,
        options.seed,
        choose_ranges(settings, published, {name: getattr(options, f"{name}_range") for name in FACTOR_NAMES}),
        tuple(parse_dimension(settings.recipe, text) for text in options.vary or VARY),
        options.seeds,
    )
    if options.engine == "ray":
        open_engine = ray_engine(paths, settings, options.address, options.workers)
    else:
        open_engine = local_engine(paths, settings, options.workers)
    sweep = run_sweep(paths, settings, design, open_engine, new=options.new)
    results = sweep.results.values()
    print(summary(results, sweep.criterion))
    if any(result.status == FINISHED for result in results):
        varied = [dimension.name for dimension in design.differing]
        print(to_text(best_runs(results, read_plan(sweep.folder), varied, sweep.criterion)))
    print(sweep.folder)
    return cli.EXIT_FAILED if any(result.status != FINISHED for result in results) else 0


if __name__ == "__main__":
    cli.run(main, interrupted="the same command goes on from here, with what was finished and begun")
