"""Optional. Shows what is in a dataset, and what may be wrong with it.

Reads  FER-Original-Dataset (from stage 2), FER-Datasets/FER2013img (from stage 1), or any folder of
       <class>/<image> or {train,val,test}/<class>/<image>
Writes reports/dataset_report_<time>/: class balance, brightness and sharpness, samples of each class, and
       twins, blank, faint, odd or unreadable images, as PNG and CSV

The pictures show faces: mind the dataset's terms before you pass them on.
"""

from emotorch import cli


def main() -> None:
    script = "python develop_baseline_model/helpers/explore_dataset.py"
    parser = cli.make_parser(__doc__, f"{script}\n  {script} FER-Datasets/FER2013img --examples 16")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="default: the dataset of stage 2")
    cli.add_scheme_option(parser)
    parser.add_argument(
        "--examples",
        type=cli.positive_integer,
        default=12,
        metavar="N",
        help="images shown of each kind of fault; findings_files.csv lists all (default: %(default)s)",
    )
    options = parser.parse_args()

    from pathlib import Path

    from emotorch.analyses.dataset import write_dataset_report
    from emotorch.data import audit
    from emotorch.labels import get_scheme
    from emotorch.paths import Paths

    paths = Paths.from_environment().for_scheme(get_scheme(options.scheme).name)
    dataset = audit.read(Path(options.folder).resolve() if options.folder else paths.originals)
    report = write_dataset_report(paths, dataset, examples=options.examples)
    print(report.text)
    print(report.folder)


if __name__ == "__main__":
    cli.run(main)
