"""Stage 7 of 8. Scores a trained model on a dataset, and lists what it got wrong.

Reads  MODEL/model.pth and the dataset
Writes MODEL/evaluation_<dataset>_<time>/: report, confusion matrix, misclassified images

Images that the model was trained on are left out of the score, counted, and scored apart. Of a folder of whole photos
the faces are cut out as prediction does; faces.csv then lists what was found in each.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/evaluate_model.py model_00001 fer\n"
        "  python develop_baseline_model/models/evaluate_model.py model_00001 path/to/class/folders\n"
        "  python develop_baseline_model/models/evaluate_model.py compact fer-public --tta\n"
        "  python develop_baseline_model/models/evaluate_model.py model_00001 fer-public --with model_00002",
    )
    cli.add_model_argument(parser)
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        nargs="?",
        help=f"{cli.KNOWN_DATASETS}, another dataset that stage 2 has read, by its name there, or a folder of class "
        "folders (default: fer; without FER-2013, what the model was trained on)",
    )
    parser.add_argument(
        "--tta",
        "--views",
        action="store_true",
        help="test-time augmentation: also score the mean prediction over shifts and mirror images of each image",
    )
    parser.add_argument(
        "--with",
        dest="others",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="also score the mean prediction of the model and these, trained on none of the images either",
    )
    cli.add_faces_option(parser)
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()
    models = [options.model, *options.others]
    if repeated := [name for name in options.others if models.count(name) > 1]:
        parser.error(f"{repeated[0]} is named twice")

    from emotorch.evaluation.evaluate import default_dataset, evaluate
    from emotorch.evaluation.folder import report, write_evaluation
    from emotorch.evaluation.loaded_run import LoadedRun
    from emotorch.evaluation.seen import load_unseen
    from emotorch.evaluation.sets import as_option
    from emotorch.evaluation.tta import describe_means

    loaded = LoadedRun.from_options(options)
    dataset = as_option(options.dataset or default_dataset(loaded))
    evaluation = evaluate(loaded, dataset, options.faces)
    others = [load_unseen(loaded, name, dataset, evaluation.images) for name in options.others]
    folder = write_evaluation(loaded, evaluation)
    print(report(loaded.model, evaluation))
    for line in describe_means(loaded, others, dataset, evaluation, with_tta=options.tta):
        print(line)
    print(folder)


if __name__ == "__main__":
    cli.run(main)
