"""Stage 1 of 8. Writes FER-2013's CSV as PNG files.

Reads  FER-Datasets/fer-2013/fer2013/fer2013.csv
Writes FER-Datasets/FER2013img/<emotion>/<emotion>_<row>.png and manifest.csv

Where FER-2013 is there as class folders and not as a CSV, there is nothing to do: stage 2 reads these.
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
    from emotorch.paths import Paths

    paths = Paths.from_environment()
    if paths.has_fer_folders and not paths.fer_csv.is_file():
        print("nothing to do: FER-2013 is here as class folders, which stage 2 reads")
        return
    done = fer2013.convert(paths, workers=options.workers, force=options.force, skip_bad_rows=options.skip_bad_rows)
    state = "up to date" if done.up_to_date else "written"
    print(f"{paths.fer_images}: {done.images} images {state}")
    if done.skipped:
        print(f"{done.skipped} bad rows skipped, listed in {paths.fer_images / fer2013.SKIPPED_ROWS}")


if __name__ == "__main__":
    cli.run(main, interrupted=cli.GOES_ON)
