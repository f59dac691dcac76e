"""Says what emotion faces show: in pictures of any format and size, folders of them, videos, or before a camera.

Reads  the inputs, and a trained model
Prints emotion, confidence and the distribution, or a table; with --json an object per picture and per frame
Writes what --csv, --save and --visualize ask for, nothing otherwise
"""

from emotorch import cli

MODEL_SUFFIXES = (".pth", ".onnx")


def main() -> int:
    parser = cli.make_parser(
        __doc__,
        "python baseline_model/model/predict_image_baselinemodel.py photo.jpg --save prediction.png\n"
        "  python baseline_model/model/predict_image_baselinemodel.py holidays/ --model compact --csv predictions.csv\n"
        "  python baseline_model/model/predict_image_baselinemodel.py clip.mp4 --save annotated.mp4\n"
        "  python baseline_model/model/predict_image_baselinemodel.py photo.jpg path/to/model.pth",
    )
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="pictures, folders of pictures, patterns, videos; a last one that ends in .pth or .onnx is the model",
    )
    parser.add_argument("--image", metavar="FILE", action="append", default=[], help="an INPUT too; may be repeated")
    cli.add_shipped_model_option(parser)
    cli.add_prediction_options(parser)
    options = parser.parse_args()
    inputs, model_name = options.inputs, options.model
    if inputs and inputs[-1].endswith(MODEL_SUFFIXES):
        model_name = inputs.pop()
    inputs = [*options.image, *inputs]
    if not inputs and options.webcam is None:
        parser.error(f"{model_name} is a model: name a picture as well" if model_name else "name an INPUT, or --webcam")
    if inputs and options.webcam is not None:
        parser.error("--webcam takes no INPUT")

    from pathlib import Path

    from emotorch.inference.command import predict, watch
    from emotorch.inference.outputs import OutputOptions
    from emotorch.inference.reader import open_reader
    from emotorch.paths import Paths
    from emotorch.runs.folder import shipped_or_named

    output = OutputOptions(
        detector=options.detector,
        abstain_below=options.abstain_below,
        json=options.json,
        csv=Path(options.csv) if options.csv else None,
        save=Path(options.save) if options.save else None,
        visualize=options.visualize,
        frames=options.frames,
    )
    weights = shipped_or_named(Paths.from_environment(), model_name)
    reader = open_reader(weights, options.scheme)
    if options.webcam is not None:
        errors = watch(reader, weights, options.webcam, output)
    else:
        errors = predict(reader, weights, inputs, output)
    return cli.EXIT_FAILED if errors else 0


if __name__ == "__main__":
    cli.run(main)
