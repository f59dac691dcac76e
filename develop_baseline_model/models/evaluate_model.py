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
        "  python develop_baseline_model/models/evaluate_model.py compact fer-public --views\n"
        "  python develop_baseline_model/models/evaluate_model.py model_00001 fer-public --with model_00002",
    )
    parser.add_argument("model", metavar="MODEL", help="a model folder's name, or a path to it")
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        nargs="?",
        default="fer",
        help=f"{cli.KNOWN_DATASETS}, or a folder of class folders (default: %(default)s)",
    )
    parser.add_argument(
        "--views", action="store_true", help="also score the mean answer over shifts and mirror images of each image"
    )
    parser.add_argument(
        "--with",
        dest="others",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="also score the mean answer of the model and these, trained on none of the images either",
    )
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.evaluation.evaluate import evaluate, predict, read_unseen, record_scoring
    from emotorch.evaluation.folder import write_evaluation
    from emotorch.evaluation.tta import COUNT, SHIFT, mean_predictions
    from emotorch.paths import Paths
    from emotorch.runs.folder import find_run, weights_file
    from emotorch.training.checkpoints import load_model
    from emotorch.training.device import choose_device, make_repeatable

    paths = Paths.from_environment()
    run = find_run(paths, options.model)
    model = load_model(weights_file(paths, options.model), options.scheme)
    make_repeatable(options.threads)
    device = choose_device(options.device)
    evaluation = evaluate(paths, run, model, options.dataset, device)
    others = [read_unseen(paths, other, model, options.dataset, evaluation.images) for other in options.others]
    folder = write_evaluation(run, evaluation, model.labels)
    print("\n".join(evaluation.lines))
    views = f"{COUNT} views (mirror images, shifts of {SHIFT} pixels)"
    if options.views:
        print(f"mean over {views}: {mean_predictions([model], evaluation.images, device, with_tta=True).line()}")
    for name, other in zip(options.others, others, strict=True):
        alone = predict(other, evaluation.images, device)
        record_scoring(find_run(paths, name), options.dataset, alone)
        print(f"{name} on the same: {alone.line()}")
    if others:
        together = mean_predictions([model, *others], evaluation.images, device)
        print(f"mean of {1 + len(others)} models: {together.line()}")
    if others and options.views:
        everything = mean_predictions([model, *others], evaluation.images, device, with_tta=True)
        print(f"mean of {1 + len(others)} models over {views}: {everything.line()}")
    print(folder)


if __name__ == "__main__":
    cli.run(main)
