"""What does a model get wrong? A gallery of its errors on images that it was not trained on.

Reads  MODEL/model.pth, MODEL/image_usage.csv and images that the model was not trained on
Writes MODEL/errors/: confusions.csv, confused_images.csv, confident_errors.csv, suspected_label_errors.csv, a sheet of
       pictures for each list and for each confused pair of labels, findings.json

Without DATASET the images are the run's own validation images. The sheets show the dataset's faces: mind its terms.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/show_errors.py model_00001\n"
        "  python develop_baseline_model/models/show_errors.py model_00002 fer-public --tiles 80",
    )
    cli.add_model_argument(parser)
    cli.add_dataset_argument(parser)
    cli.add_count_option(parser, "--tiles", "images on a sheet at most; the tables have all", 40)
    cli.add_count_option(parser, "--pairs", "pairs of labels that get a sheet of their own", 4)
    parser.add_argument("--force", action="store_true", help="list again what is there and up to date")
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.analyses.errors import ANALYSIS, analyse_errors
    from emotorch.analyses.registry import Subject

    subject = Subject.from_options(options)
    print(ANALYSIS.text(analyse_errors(subject, options.tiles, options.pairs)))
    print(ANALYSIS.folder(subject.loaded))


if __name__ == "__main__":
    cli.run(main)
