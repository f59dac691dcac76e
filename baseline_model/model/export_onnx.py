"""Writes a model as an ONNX file, which predicts without PyTorch, and compares the two on synthetic faces.

Reads  MODEL/model.pth
Writes MODEL/model.onnx, which predictions take from then on, and its hash into MODEL/run.json
"""

from importlib.util import find_spec

from emotorch import cli
from emotorch.errors import installing


def main() -> None:
    parser = cli.make_parser(__doc__, "python baseline_model/model/export_onnx.py model_00001")
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a model folder's name, or a path to it or to its weights (default: the one that ships)",
    )
    options = parser.parse_args()
    if not (find_spec("onnx") and find_spec("onnxscript")):
        parser.error(f"the export needs onnx and onnxscript: {installing('onnx')}")

    from emotorch.inference.onnx_export import BATCHES, TOLERANCE, export
    from emotorch.paths import Paths
    from emotorch.runs.folder import shipped_or_named

    written = export(shipped_or_named(Paths.from_environment(), options.model))
    print(
        f"largest difference of a probability to PyTorch: {written.difference:.1e} (at most {TOLERANCE:g} is "
        f"taken), on {written.faces} synthetic faces in batches of {', '.join(map(str, BATCHES))}"
    )
    print(written.path)


if __name__ == "__main__":
    cli.run(main)
