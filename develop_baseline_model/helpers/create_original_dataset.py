"""Stage 2 of 8. Puts FER-2013, and what other datasets are there, into one dataset of a scheme's classes.

Reads  FER-Datasets/, in which it recognises FER-2013 (from stage 1), CK+, RAF-DB, AffectNet, JAFFE, KDEF and ExpW by
       what is in each folder, and your own data: NAME/<emotion>/*, NAME/{train,val,test}/<emotion>/*, also with folders
       of persons, or pictures with a labels.csv (path,label); says what it took for what
Writes FER-Original-Dataset/{FER,CKP,RAF,NAME}/<class>/<n>.png and manifest.csv, tracing each to its source;
       as 48×48 grey; for another scheme than the default FER-Original-Dataset-<scheme>, with size and colour;
       of whole photos the faces, and what was found in each in faces.csv
"""

from emotorch import cli
from emotorch.datasets import LONGEST_SIDE


def main() -> None:
    parser = cli.make_parser(__doc__, "python develop_baseline_model/helpers/create_original_dataset.py")
    cli.add_stage_options(parser)
    cli.add_scheme_option(parser)
    cli.add_count_option(
        parser,
        "--size",
        "longest side, in pixels, of the images written for any scheme but the default; nothing is enlarged "
        f"(default: {LONGEST_SIDE}, enough for every recipe)",
    )
    cli.add_faces_option(parser)
    options = parser.parse_args()

    from emotorch.data import dataset
    from emotorch.labels import get_scheme
    from emotorch.paths import Paths

    scheme = get_scheme(options.scheme)
    paths = Paths.from_environment().for_scheme(scheme.name)
    done = dataset.create(
        paths, scheme, workers=options.workers, force=options.force, size=options.size, faces=options.faces
    )
    print(f"{paths.originals}: {'up to date' if done.up_to_date else 'written'}")
    for name, classes in done.counts.items():
        by_class = ", ".join(f"{label} {count}" for label, count in classes.items())
        print(f"  {name}: {sum(classes.values())} images ({by_class})")


if __name__ == "__main__":
    cli.run(main, interrupted=cli.GOES_ON)
