"""Scores the models that ship on FER-2013's PublicTest, and compares with what their cards say.

Reads  FER-Datasets/fer-2013/fer2013/fer2013.csv, baseline_model/model/*/
Writes the datasets of stages 1 and 2 where they are not there yet
Prints both scores of each model; the exit status is 1 where they differ. On synthetic faces, which no card tells of, it
says so and does nothing.
"""

from emotorch import cli


def main() -> int:
    parser = cli.make_parser(__doc__, "python baseline_model/model/check_models.py")
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.paths import Paths
    from emotorch.pipeline import prepare_datasets
    from emotorch.reports.card.check import DIFFERS, check_shipped
    from emotorch.tables import to_text

    paths = Paths.from_environment()
    if paths.is_synthetic:
        print(f"{paths.root} has synthetic faces, and the cards tell of FER-2013: there is nothing to compare")
        return 0
    prepare_datasets(paths, ("emotorch4", "seven"))
    checked = check_shipped(paths, device=options.device, threads=options.threads)
    print(to_text(checked))
    return cli.EXIT_FAILED if DIFFERS in checked.frame[""].tolist() else 0


if __name__ == "__main__":
    cli.run(main)
