"""The command lines of prediction and of the demo page, for their scripts and the command `emotorch`.

Imports nothing heavy, so that `--help` is there at once.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from emotorch import cli

_MODEL_SUFFIXES = (".pth", ".onnx", ".safetensors")


def run_prediction(parser: argparse.ArgumentParser, default_model: str) -> int:
    """Adds the options of prediction, reads them, and predicts; returns the exit status."""
    parser.add_argument(
        "inputs",
        metavar="INPUT",
        nargs="*",
        help="pictures, folders of pictures, patterns, videos; a last one that ends in "
        f"{', '.join(_MODEL_SUFFIXES)} is the model",
    )
    parser.add_argument("--image", metavar="FILE", action="append", default=[], help="an INPUT too; may be repeated")
    cli.add_shipped_model_option(parser, default_model)
    cli.add_prediction_options(parser)
    options = parser.parse_args()
    inputs, named = options.inputs, None
    if inputs and inputs[-1].endswith(_MODEL_SUFFIXES):
        named = inputs.pop()
    inputs = [*options.image, *inputs]
    if not inputs and options.webcam is None:
        parser.error(f"{named} is a model: name a picture as well" if named else "name an INPUT, or --webcam")
    if inputs and options.webcam is not None:
        parser.error("--webcam takes no INPUT")

    from emotorch.inference.command import predict, watch
    from emotorch.inference.outputs import OutputOptions
    from emotorch.inference.reader import open_reader
    from emotorch.paths import Paths
    from emotorch.runs.folder import weights_file

    output = OutputOptions(
        detector=options.detector,
        abstain_below=options.abstain_below,
        json=options.json,
        csv=Path(options.csv) if options.csv else None,
        save=Path(options.save) if options.save else None,
        visualize=options.visualize,
        frames=options.frames,
    )
    weights = weights_file(Paths.from_environment(), named or options.model)
    reader = open_reader(weights, options.scheme)
    if options.webcam is not None:
        errors = watch(reader, weights, options.webcam, output)
    else:
        errors = predict(reader, weights, inputs, output)
    return cli.EXIT_FAILED if errors else 0


def run_demo(parser: argparse.ArgumentParser, arguments: Sequence[str] | None, default_model: str) -> None:
    """Adds the options of the page, reads them, and serves it until Ctrl-C.

    `arguments`: None for those that the process was started with.
    """
    cli.add_shipped_model_option(parser, default_model)
    cli.add_reading_option(parser)
    parser.add_argument(
        "--port", type=int, default=8000, metavar="N", help="of the page's address; 0 for any free one (default: 8000)"
    )
    options = parser.parse_args(arguments)

    from emotorch.inference.demo import HOST, create_app, listen, serve
    from emotorch.inference.reader import open_reader
    from emotorch.paths import Paths
    from emotorch.runs.folder import weights_file

    weights = weights_file(Paths.from_environment(), options.model)
    listener = listen(options.port)
    app = create_app(open_reader(weights, options.scheme), str(weights))
    print(f"http://{HOST}:{listener.getsockname()[1]}/", flush=True)
    logging.getLogger("emotorch").info("open it in a browser on this machine; Ctrl-C ends it")
    serve(app, listener)
