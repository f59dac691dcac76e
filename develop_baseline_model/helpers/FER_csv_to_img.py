"""Stage 1 of 8. Writes FER-2013's CSV as PNG files.

Reads  the CSV of FER-2013, wherever it lies below FER-Datasets/ (fer-2013/fer2013/fer2013.csv, by convention),
       or its train.csv, val.csv and test.csv together
Writes FER-Datasets/FER2013img/<emotion>/<emotion>_<row>.png and manifest.csv

Where FER-2013 is not there, or as class folders, which stage 2 reads, there is nothing to do.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/helpers/FER_csv_to_img.py --workers 2")
    cli.add_stage_options(parser)
    parser.add_argument(
        "--skip-bad-rows",
        action="store_true",
        help="leave bad rows out and list them in skipped_rows.csv; without it the first one ends the stage",
    )
    options = parser.parse_args()

    from emotorch.data import fer2013
    from emotorch.data.recognition import find_copies
    from emotorch.datasets import FER
    from emotorch.errors import found_elsewhere
    from emotorch.paths import Paths

    paths = Paths.from_environment()
    copies = find_copies(paths, FER)
    if not copies:
        print(f"nothing to do: no FER-2013 in {paths.raw}{found_elsewhere(paths.fer_csv)}")
        return
    if copies[0].where.is_dir():
        print(f"nothing to do: FER-2013 is here as class folders, which stage 2 reads: {copies[0].where}")
        return
    for note in copies[0].notes:
        print(f"{copies[0].where}: {note}")
    done = fer2013.convert(
        paths, csvs=copies[0].tables, workers=options.workers, force=options.force, skip_bad_rows=options.skip_bad_rows
    )
    state = "up to date" if done.up_to_date else "written"
    print(f"{paths.fer_images}: {done.images} images {state}")
    if done.skipped:
        print(f"{done.skipped} bad rows skipped, listed in {paths.fer_images / fer2013.SKIPPED_ROWS}")


if __name__ == "__main__":
    cli.run(main, interrupted=cli.GOES_ON)
