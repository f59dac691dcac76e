"""Makes a finished run the model that ships: baseline_model/model/NAME, with an ONNX file and a model card.

Reads  MODEL/, and the dataset for what the card measures
Writes baseline_model/model/NAME/ in the repository, in place of what had that name; no picture with a face in it
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/models/ship_model.py model_00224 emotorch")
    parser.add_argument("model", metavar="MODEL", help="a model folder's name, or a path to it")
    parser.add_argument("name", metavar="NAME", help="the plain name of its folder: emotorch or compact")
    cli.add_device_options(parser)
    options = parser.parse_args()

    from functools import partial

    from emotorch.inference.shipping import check_name, ship
    from emotorch.paths import SHIPPED_MODELS, Paths
    from emotorch.reports.card.model_card import CARD_NAME, write_texts
    from emotorch.runs.folder import find_run
    from emotorch.training.device import choose_device, make_repeatable

    check_name(options.name)
    paths = Paths.from_environment()
    make_repeatable(options.threads)
    describe = partial(write_texts, paths, device=choose_device(options.device))
    exported = ship(find_run(paths, options.model), options.name, SHIPPED_MODELS, describe)
    print(f"largest difference of a probability between ONNX and PyTorch: {exported.difference:.1e}")
    print(exported.path.with_name(CARD_NAME))


if __name__ == "__main__":
    cli.run(main)
