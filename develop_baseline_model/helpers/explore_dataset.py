"""Optional. Audits a dataset: what splits share, conflicting labels, faulty pictures, and what is in it.

Reads  a folder (of stage 1 or 2, or any that stage 2 recognises below FER-Datasets, or class folders), a table
       (fer2013.csv, labels.csv), or a dataset by its name, as it lies in FER-Datasets
Writes reports/dataset_report_<time>/: report.html, the page to open; audit.json; findings_files.csv, every image
       with a fault; copies.csv, every pair of one photo; images.csv, class_balance.csv and more, as CSV and PNG

Copies are images of one photo: equal, mirrored, or nearly equal, as remove_duplicates.py finds them.
The page and the pictures show faces: mind the dataset's terms before you pass them on.
"""

from emotorch import cli


def main() -> None:
    script = "python develop_baseline_model/helpers/explore_dataset.py"
    parser = cli.make_parser(__doc__, f"{script} fer\n  {script} FER-Datasets/my-faces --json --fail-on leak")
    parser.add_argument(
        "target", metavar="FOLDER|CSV|NAME", nargs="?", help="what to audit (default: the dataset of stage 2)"
    )
    cli.add_scheme_option(parser)
    what = "images or photos shown of each kind of fault; the tables list all"
    cli.add_count_option(parser, "--examples", what, 12)
    cli.add_threshold_option(parser)
    cli.add_faces_option(parser)
    parser.add_argument("--json", action="store_true", help="print audit.json instead of tables")
    parser.add_argument(
        "--fail-on",
        choices=("leak",),
        help="exit 1 where splits share photos or people; the report is written all the same",
    )
    options = parser.parse_args()

    import json
    from pathlib import Path

    from emotorch.analyses.dataset import describe, make_audit
    from emotorch.data import audit
    from emotorch.errors import EmoTorchError
    from emotorch.labels import get_scheme
    from emotorch.paths import Paths
    from emotorch.reports.dataset_page import write_dataset_report

    scheme = get_scheme(options.scheme)
    paths = Paths.from_environment().for_scheme(scheme.name)
    given = options.target
    if given and not Path(given).exists() and Path(given).name == given:
        audited = audit.read_dataset(given, paths, scheme, options.faces)
    else:
        audited = audit.read(Path(given).resolve() if given else paths.originals, paths, scheme, options.faces)
    found = make_audit(audited, options.threshold)
    report = write_dataset_report(paths, found, examples=options.examples)
    if options.json:
        print(json.dumps({**found.as_dict(), "report": str(report)}))
    else:
        print(describe(found))
        print(report)
    if options.fail_on and found.leaking:
        raise EmoTorchError(f"{len(found.leaking)} images of photos or people that several splits have: see {report}")


if __name__ == "__main__":
    cli.run(main)
