"""Scores the models that ship on FER-2013's PublicTest, and compares with what their cards say.

Reads  FER-Datasets/fer-2013/fer2013/fer2013.csv, baseline_model/model/*/
Writes the datasets of stages 1 and 2 where they are not there yet
Prints both scores of each model; the exit status is 1 where they differ
"""

from emotorch import cli


def main() -> int:
    parser = cli.make_parser(__doc__, "python baseline_model/model/check_models.py")
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.paths import Paths
    from emotorch.pipeline import prepare_datasets
    from emotorch.reports.card.check import check_shipped
    from emotorch.tables import text_table
    from emotorch.training.device import choose_device, make_repeatable

    paths = Paths.from_environment()
    prepare_datasets(paths, ("emotorch4", "seven"))
    make_repeatable(options.threads)
    checks = list(check_shipped(paths, choose_device(options.device)))
    rows = [("model", "images", "PublicTest %", "card %", "")]
    for check in checks:
        right, images = check.measured
        stated = f"{100 * check.stated[0] / images:.2f}" if check.stated else "-"
        rows.append((check.name, str(images), f"{100 * right / images:.2f}", stated, "" if check.equal else "differs"))
    print(text_table(rows, left=("model", "")))
    return 0 if all(check.equal for check in checks) else cli.EXIT_FAILED


if __name__ == "__main__":
    cli.run(main)
