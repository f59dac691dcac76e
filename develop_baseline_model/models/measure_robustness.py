"""Does a model survive blur, bad light, hats and noise? Scores it under eight corruptions, each in five severities.

Reads  MODEL/model.pth, MODEL/image_usage.csv and images that the model was not trained on
Writes MODEL/robustness/: robustness.csv, corruption_errors.csv, robustness_curves.png, corruptions.png,
       findings.json

Without DATASET the images are the run's own validation images. Errors are stated relative to those of the EmoTorch
baseline that ships, or of another model (--reference), on images that neither was trained on.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/measure_robustness.py model_00001\n"
        "  python develop_baseline_model/models/measure_robustness.py model_00002 fer-public --reference model_00001",
    )
    cli.add_model_argument(parser)
    cli.add_dataset_argument(parser)
    parser.add_argument(
        "--reference",
        metavar="MODEL",
        help="the model whose errors count as 100 (default: the EmoTorch baseline that ships)",
    )
    parser.add_argument("--force", action="store_true", help="measure again what is there and up to date")
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.analyses.registry import Subject
    from emotorch.analyses.robustness import ANALYSIS, analyse_robustness

    # One thread to an operation: the conditions share them out.
    subject = Subject.from_options(options, threads=1)
    print(ANALYSIS.text(analyse_robustness(subject, options.reference)))
    print(ANALYSIS.folder(subject.loaded))


if __name__ == "__main__":
    cli.run(main)
