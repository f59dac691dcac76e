"""Stage 5 of 8. Trains many models, each on its own share of the data.

Reads  FER-Original-Dataset, FER-Original-Dataset-Augmented (from stages 2 and 3)
Writes develop_baseline_model/models/model_NNNNN/ for each run, and sweep_<time>/ with plan and results
"""

from emotorch import cli

# The published sweep: 300 models. Change it here, or by options.
NUM_MODELS = 300
SEED = 42
FER_RANGE = (0.9, 1.0)
FER_AUG_RANGE = (0.0, 0.1)
CKP_RANGE = (0.9, 1.0)
CKP_AUG_RANGE = (0.0, 0.1)


def main() -> int:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/models/train_multiple_models.py --num-models 20")
    parser.add_argument(
        "--num-models",
        type=cli.positive_integer,
        default=NUM_MODELS,
        metavar="N",
        help="runs to train; a few dozen show the spread (default: %(default)s)",
    )
    parser.add_argument(
        "--strategy",
        choices=("random",),
        default="random",
        help="how factors are drawn (default: %(default)s)",
    )
    parser.add_argument("--engine", choices=("local",), default="local", help="where it runs (default: %(default)s)")
    cli.add_training_options(parser)
    parser.set_defaults(seed=SEED)
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch import experiment
    from emotorch.paths import Paths
    from emotorch.sweep.local import run_sweep
    from emotorch.sweep.plan import FactorRanges, draw_plan

    plan = draw_plan(FactorRanges(FER_RANGE, FER_AUG_RANGE, CKP_RANGE, CKP_AUG_RANGE), options.num_models, options.seed)
    settings = experiment.Settings.from_options(options)
    folder, results = run_sweep(Paths.from_environment(), settings, plan)
    failed = [result for result in results if result.status != "finished"]
    print(f"{len(results) - len(failed)} of {len(results)} models trained")
    print(folder)
    return cli.EXIT_FAILED if failed else 0


if __name__ == "__main__":
    cli.run(main, interrupted="finished runs stay; --resume of stage 4 goes on with the last one")
