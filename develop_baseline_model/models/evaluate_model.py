"""Stage 7 of 8. Scores a trained model on a dataset, and lists what it got wrong.

Reads  MODEL/model.pth and the dataset
Writes MODEL/evaluation_<dataset>_<time>/: report, confusion matrix, wrongly answered images

Images that the model was trained on are left out of the score, counted, and scored apart.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/evaluate_model.py model_00001 fer\n"
        "  python develop_baseline_model/models/evaluate_model.py model_00001 path/to/class/folders\n"
        "  python develop_baseline_model/models/evaluate_model.py compact fer-public --views",
    )
    parser.add_argument("model", metavar="MODEL", help="a model folder's name, or a path to it")
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        nargs="?",
        default="fer",
        help="fer, ckp, raf, fer-public, fer-private, or a folder of class folders (default: %(default)s)",
    )
    parser.add_argument(
        "--views", action="store_true", help="also score the mean answer over shifts and mirror images of each image"
    )
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch import runs
    from emotorch.analysis.evaluate import evaluate
    from emotorch.analysis.views import COUNT, SHIFT, answer_over_views
    from emotorch.paths import Paths
    from emotorch.reports.runs.evaluation import write_evaluation
    from emotorch.training.checkpoints import load_model
    from emotorch.training.device import choose_device, make_repeatable

    paths = Paths.from_environment()
    run = runs.find(paths, options.model)
    model = load_model(runs.weights_file(paths, options.model), options.scheme)
    make_repeatable(options.threads)
    device = choose_device(options.device)
    evaluation = evaluate(paths, run, model, options.dataset, device)
    folder = write_evaluation(run, evaluation, model.labels)
    print("\n".join(evaluation.lines))
    if options.views:
        over_views = answer_over_views(model, evaluation.images, device)
        print(f"mean over {COUNT} views (mirror images, shifts of {SHIFT} pixels): {over_views.line()}")
    print(folder)


if __name__ == "__main__":
    cli.run(main)
