"""Says what emotion a face shows: one line per label, for every face in every picture.

Reads  pictures of any format and size, and a trained model
Prints emotion, confidence and the distribution; with --json one object per picture
"""

import sys

from emotorch import cli

MODEL_SUFFIX = ".pth"


def main() -> int:
    parser = cli.make_parser(
        __doc__,
        "python baseline_model/model/predict_image_baselinemodel.py photo.jpg --model model_00001\n"
        "  python baseline_model/model/predict_image_baselinemodel.py photo.jpg path/to/model.pth",
    )
    parser.add_argument(
        "inputs", metavar="INPUT", nargs="+", help="pictures; a last one that ends in .pth is the model"
    )
    parser.add_argument("--model", metavar="MODEL", help="a model folder's name, or a path to it or to its weights")
    parser.add_argument(
        "--detector",
        choices=("haar", "none"),
        default="haar",
        help="how faces are found; none for faces that are cut out already (default: %(default)s)",
    )
    cli.add_reading_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object per picture")
    parser.add_argument("--csv", metavar="FILE", help="write a table, one row per face")
    parser.add_argument("--save", metavar="FILE", help="write a picture with boxes and bars (one input only)")
    options = parser.parse_args()
    inputs, model_name = options.inputs, options.model
    if inputs[-1].endswith(MODEL_SUFFIX):
        model_name = inputs.pop()
    if not inputs:
        parser.error(f"{model_name} is a model: name a picture as well")
    if options.save and len(inputs) > 1:
        parser.error("--save takes one picture")

    from pathlib import Path

    from emotorch.inference.predictor import answer_file
    from emotorch.paths import Paths
    from emotorch.reports import answers as reports
    from emotorch.runs import shipped_or_named
    from emotorch.training.checkpoints import load_model

    weights = shipped_or_named(Paths.from_environment(), model_name)
    model = load_model(weights, options.scheme)
    answers = [answer_file(model, Path(name), options.detector) for name in inputs]
    for answer in answers:
        if options.json:
            print(reports.as_json(answer, weights))
        elif answer.error:
            print(f"error: {answer.input}: {answer.error}", file=sys.stderr)
        else:
            print(reports.as_text(answer))
    if options.csv:
        reports.write_table(Path(options.csv), answers, model.labels)
    if options.save and not answers[0].error:
        print(reports.save_picture(Path(options.save), answers[0]))
    return cli.EXIT_FAILED if any(answer.error for answer in answers) else 0


if __name__ == "__main__":
    cli.run(main)
