"""Writes a model's folder for a model hub: weights, what they are of, an ONNX file, and the model card.

Reads  MODEL/, and the dataset for what the card measures
Writes FOLDER/, a new one: model.safetensors, config.json, model.onnx, README.md, tables; no picture with a face in it

It uploads nothing. `emotorch photo.jpg --model FOLDER` and emotorch.load(FOLDER) take it as it is.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__, "python develop_baseline_model/models/publish_model.py model_00001 my-emotion-model"
    )
    parser.add_argument("model", metavar="MODEL", help="a model folder's name, or a path to it")
    parser.add_argument("folder", metavar="FOLDER", help="where to; its name is what the card calls the model")
    cli.add_device_options(parser)
    options = parser.parse_args()

    from functools import partial
    from pathlib import Path

    from emotorch.inference.shipping import publish
    from emotorch.paths import Paths
    from emotorch.reports.card.model_card import write_texts
    from emotorch.runs.folder import find_run, weights_file
    from emotorch.training.device import choose_device, make_repeatable

    paths = Paths.from_environment()
    make_repeatable(options.threads)
    describe = partial(write_texts, paths, device=choose_device(options.device))
    run, weights = find_run(paths, options.model), weights_file(paths, options.model)
    exported = publish(run, weights, Path(options.folder), describe)
    print(f"largest difference of a probability between ONNX and PyTorch: {exported.difference:.1e}")
    print(exported.path.parent)


if __name__ == "__main__":
    cli.run(main)
