"""Does a model serve all groups of people equally well? By attributes that others have annotated of the images.

Reads  MODEL/model.pth, the images of DATASET, and a CSV: image_path or source_hash, and a column per attribute;
       the published faces_gender_race.csv (img_path,race,race4,gender,age) as it is
Writes MODEL/fairness/: fairness.txt, groups.csv, recalls.csv, gaps.csv, fairness.png, findings.json

Words are groups; numbers (more than 10 different ones) are cut at their quartiles or at --edges. image_path is as in
image_usage.csv or a manifest, the raw dataset's file, or the end of either. Images that the model was trained on are
left out. FER-2013 itself has no attributes; docs/datasets.md has a sample of the form.
"""

from pathlib import Path

from emotorch import cli


def main() -> None:
    script = "python develop_baseline_model/models/analyze_fairness.py model_00001"
    example = f"{script} --attributes people.csv\n  {script} raf --attributes people.csv --edges age=20,40,70"
    parser = cli.make_parser(__doc__, example)
    cli.add_model_argument(parser)
    cli.add_dataset_argument(parser)
    parser.add_argument("--attributes", metavar="CSV", type=Path, help="needed: what is known of the images")
    parser.add_argument(
        "--column", metavar="NAME", action="append", default=[], help="only this attribute; may be repeated"
    )
    parser.add_argument(
        "--edges",
        metavar="COLUMN=A,B,…",
        type=cli.column_edges,
        action="append",
        default=[],
        help="cut a column of numbers here: below A, A to below B, …; may be repeated (default: at its quartiles)",
    )
    parser.add_argument("--force", action="store_true", help="make it anew, also when it is there and up to date")
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()
    if options.attributes is None:  # after all others, so that a misspelt one is named first
        parser.error("--attributes CSV is needed: what others have annotated of the images")

    from emotorch.analyses.attributes import read_attributes
    from emotorch.analyses.fairness import REPORT_NAME, analyse_fairness
    from emotorch.analyses.registry import Subject

    table = read_attributes(options.attributes, options.column)
    folder = analyse_fairness(Subject.from_options(options), table, dict(options.edges))
    print((folder / REPORT_NAME).read_text(encoding="utf-8"), end="")
    print(folder)


if __name__ == "__main__":
    cli.run(main)
