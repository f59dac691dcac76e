"""Makes a finished run the model that ships: baseline_model/model/NAME, with an ONNX file and a model card.

Reads  MODEL/, and the dataset for what the card measures
Writes baseline_model/model/NAME/ in the repository, in place of what had that name; no picture with a face in it
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/models/ship_model.py model_00224 emotorch")
    parser.add_argument("model", metavar="MODEL", help="a model folder's name, or a path to it")
    parser.add_argument("name", metavar="NAME", help="the folder that it gets: emotorch or compact")
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch import runs
    from emotorch.inference.shipping import ship
    from emotorch.paths import Paths
    from emotorch.reports.card.model_card import write_model_card
    from emotorch.training.device import choose_device, make_repeatable

    paths = Paths.from_environment()
    make_repeatable(options.threads)
    exported = ship(runs.find(paths, options.model), options.name)
    weights = exported.path.with_suffix(".pth")
    print(f"largest difference of a probability between ONNX and PyTorch: {exported.difference:.1e}")
    print(write_model_card(paths, runs.Run(weights.parent), weights, choose_device(options.device)))


if __name__ == "__main__":
    cli.run(main)
