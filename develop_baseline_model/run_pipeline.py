"""Runs stages 1 to 8 in order, and ends with a table of results and the paths of the pictures.

Reads  FER-Datasets/; where that is empty, draws synthetic faces into synthetic/ and uses those
Writes what the stages write
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/run_pipeline.py --models 2")
    cli.add_count_option(parser, "--models", "models to train: one at the defaults, the others as a sweep", 2)
    options = parser.parse_args()

    from emotorch.paths import Paths
    from emotorch.pipeline import run_all

    run_all(Paths.from_environment(), options.models)


if __name__ == "__main__":
    cli.run(main, interrupted=cli.GOES_ON)
