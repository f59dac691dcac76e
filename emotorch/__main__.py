"""Says what emotion faces show: in pictures of any format and size, folders of them, videos, or before a camera.

Reads  the inputs, and a trained model
Prints emotion, confidence and the distribution, or a table; with --json an object per picture and per frame
Writes what --csv, --save and --visualize ask for, nothing otherwise

Two words are commands of their own, each with a --help (a file of that name is ./demo):
  emotorch demo        a page on this machine to try a model: pictures, camera
  emotorch get-yunet   fetches YuNet, which finds the most faces, into your cache (0.2 MB)
"""

import sys
from collections.abc import Sequence

from emotorch import __version__, cli
from emotorch.inference.arguments import run_demo, run_prediction

# Of the two that ship the one that a person who has a photo wants.
_MODEL = "compact"


def main() -> None:
    """The command `emotorch`, and `python -m emotorch`."""
    cli.run(_run)


def _run() -> int | None:
    command, *rest = sys.argv[1:] or [""]
    match command:
        case "demo":
            _demo(rest)
        case "get-yunet":
            _get_yunet(rest)
        case _:
            return _predict()
    return None


def _predict() -> int:
    parser = cli.make_parser(
        __doc__,
        "emotorch photo.jpg --save prediction.png\n"
        "  emotorch holidays/ --csv predictions.csv\n"
        "  emotorch clip.mp4 --save annotated.mp4\n"
        "  emotorch photo.jpg path/to/model.onnx",
        prog="emotorch",
    )
    parser.add_argument("--version", action="version", version=f"emotorch {__version__}")
    return run_prediction(parser, _MODEL)


def _demo(arguments: Sequence[str]) -> None:
    parser = cli.make_parser(
        "A page to try a trained model: drop a picture or use the camera, and see what expression each face shows.\n"
        "\n"
        "Pictures that are shown to it stay on this machine and are not kept. It prints the page's address.",
        "emotorch demo --model emotorch",
        prog="emotorch demo",
    )
    run_demo(parser, arguments, _MODEL)


def _get_yunet(arguments: Sequence[str]) -> None:
    cli.make_parser(
        "Fetches YuNet's file from OpenCV's model zoo (0.2 MB, MIT licence) into your cache, where --detector auto\n"
        "finds it, and prints where it lies. A file that is not the very one expected is refused.",
        "emotorch get-yunet",
        prog="emotorch get-yunet",
    ).parse_args(arguments)

    from emotorch.data.yunet import fetch

    print(fetch())


if __name__ == "__main__":
    main()
