"""Optional. Finds copies of one photo in a dataset, those in different splits first, and can move them away.

Reads  FER-Original-Dataset (from stage 2), FER-Datasets/FER2013img (from stage 1), or any folder of
       <class>/<image> or {train,val,test}/<class>/<image>
Writes reports/duplicates_<time>.csv, a row per pair; with --apply FOLDER-duplicates/, for a folder in
       FER-Datasets/ FER-Datasets-duplicates/NAME/

Exact copies have equal pixels; near ones are the same photo cut, lit, scaled or marked a little differently.
One of several copies is kept: a test image rather than a validation image, and that rather than a training image.
What is moved away is then what training should not have seen. Copies that are labelled differently leave like others
(see the column conflict): the kept one's label is not always the right one.
"""

from emotorch import cli


def main() -> None:
    script = "python develop_baseline_model/helpers/remove_duplicates.py"
    parser = cli.make_parser(__doc__, f"{script}\n  {script} FER-Datasets/NAME --threshold 0.85 --apply")
    parser.add_argument("folder", metavar="FOLDER", nargs="?", help="default: the dataset of stage 2")
    cli.add_scheme_option(parser)
    cli.add_threshold_option(parser)
    parser.add_argument(
        "--mirrored", action="store_true", help="mirrored copies too, in about twice the time; FER-2013 has few"
    )
    parser.add_argument(
        "--apply",
        action="store_true",
        help="move the copies out of FOLDER, keeping their paths; nothing is deleted, and after a kill the same "
        "command moves the rest. Not for the folders of stages 1 and 2, whose manifests account for every file",
    )
    options = parser.parse_args()

    from pathlib import Path

    from emotorch.data import audit, duplicates, likeness
    from emotorch.labels import get_scheme
    from emotorch.paths import Paths

    paths = Paths.from_environment().for_scheme(get_scheme(options.scheme).name)
    dataset = audit.read(Path(options.folder).resolve() if options.folder else paths.originals, faces="none")
    if options.apply:
        duplicates.check_movable(dataset)
    found = duplicates.find(dataset, threshold=options.threshold, mirrored=options.mirrored)
    print(f"{dataset.folder}: {len(dataset.entries)} images, {len(dataset.unreadable)} files that cannot be read")
    print(duplicates.summary(found, likeness.KINDS if options.mirrored else likeness.KINDS[:2]))
    table = duplicates.write_pairs(paths.reports, found)
    if options.apply:
        to = duplicates.destination(dataset.folder, paths)
        print(f"{duplicates.move_aside(found, to)} copies moved to {to}")
    else:
        print(f"{len(found.removed())} copies could go (nothing was moved)")
    print(table)


if __name__ == "__main__":
    cli.run(main)
