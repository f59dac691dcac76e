"""Writes the model card of a run, in Hugging Face's format: figures, calibration, data, limits, commands.

Reads  MODEL/, and the images that it was validated on, where they are here
Writes MODEL/README.md, and MODEL/scores/ with the calibration and its reliability diagrams

Everything is filled from the run's own files. What was never measured is said to be missing, with the command.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/write_model_card.py model_00001\n"
        "  python develop_baseline_model/models/write_model_card.py baseline_model/model/compact --force",
    )
    cli.add_model_argument(parser)
    parser.add_argument("--force", action="store_true", help="measure again what is measured already")
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.evaluation.loaded_run import LoadedRun
    from emotorch.reports.card.model_card import write_model_card

    print(write_model_card(LoadedRun.from_options(options), force=options.force))


if __name__ == "__main__":
    cli.run(main)
