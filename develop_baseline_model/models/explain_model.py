"""Which pixels do a model's predictions depend on? Importance maps by five methods, their means, two checks.

Reads  MODEL/model.pth, and the pictures named, or MODEL/image_usage.csv and held-out images
Writes MODEL/explanations/ (for named pictures MODEL/explanations_of_<hash>/): explanations.png, mean_maps.png,
       checks.png, images.csv, checks.csv, deletion_curves.csv, findings.json

Without IMAGES it explains held-out validation images, chosen by seed, equally of every class. The checks say which
method's maps to believe: the probability should fall when important pixels go, and the map when weights are random.
"""

import sys

from emotorch import cli


def main() -> int:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/explain_model.py model_00001\n"
        "  python develop_baseline_model/models/explain_model.py model_00001 photo.jpg faces/",
    )
    cli.add_model_argument(parser)
    parser.add_argument("images", metavar="IMAGES", nargs="*", help="pictures, or folders of pictures, to explain")
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help=f"without IMAGES, draw from {cli.KNOWN_DATASETS} or a folder of class folders (default: "
        "the run's own validation images)",
    )
    cli.add_count_option(parser, "--count", "held-out images for means and checks; more give steadier ones", 64)
    cli.add_count_option(parser, "--rows", "faces in the sheet, at most 64 (default: 8; of IMAGES, all)")
    parser.add_argument(
        "--detector",
        choices=cli.DETECTORS,
        default="auto",
        help="how faces are found in IMAGES, as for a prediction; none for faces that are cut out already (default: "
        "%(default)s)",
    )
    cli.add_seed_option(parser, "of the choice, the noise and the checks")
    parser.add_argument("--force", action="store_true", help="explain again what is there and up to date")
    cli.add_reading_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()
    if options.images and options.dataset:
        parser.error("IMAGES or --dataset, not both")

    from emotorch.analyses.explained_faces import named_faces
    from emotorch.analyses.explanations import ANALYSIS, MOST_ROWS, analyse_explanations
    from emotorch.analyses.registry import Subject

    # One thread to an operation: methods and checks share them out.
    subject = Subject.from_options(options, threads=1)
    named, errors = named_faces(options.images, subject.loaded, options.detector) if options.images else (None, [])
    rows = options.rows or (MOST_ROWS if options.images else 8)
    folder, findings = analyse_explanations(subject, named, count=options.count, rows=rows, seed=options.seed)
    print(ANALYSIS.text(findings))
    print(folder)
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    return cli.EXIT_FAILED if errors else 0


if __name__ == "__main__":
    cli.run(main)
