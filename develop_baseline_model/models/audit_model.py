"""Audits a model that is not ours, or ours: how it is to be read, its honest score, its faults, and a claim.

Reads  FILE, an ONNX graph or weights of a known network, and the datasets that stage 2 made
Writes evaluations/NAME/audit/: audit.json, report.html and, of several files, models.csv with paired tests

Exit status: 0, the claim holds or none was made, and no fault was found; 1, it does not, or there is a fault.
"""

from emotorch import cli


def main() -> int:
    parser = cli.make_parser(
        __doc__,
        "python develop_baseline_model/models/audit_model.py their_model.onnx --claim 0.7314\n"
        "  python develop_baseline_model/models/audit_model.py weights.pth fer-public --network timm:resnet18 "
        "--image-size 48 --preprocess unit\n"
        "  python develop_baseline_model/models/audit_model.py compact their_model.onnx fer-public",
    )
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="+",
        help="a model's file, or a model folder's name; then, if not all official tests that are here are meant, a "
        f"DATASET: {cli.KNOWN_DATASETS}, or a folder of class folders",
    )
    parser.add_argument("--claim", type=float, metavar="A", help="an accuracy from 0 to 1 that is to be checked")
    reading = parser.add_argument_group("how the model is read (else found out, on Training rows)")
    reading.add_argument(
        "--preprocess",
        metavar="NAME",
        help="values: bytes (0-255), unit (0-1), symmetric (-1-1), half (-0.5-0.5), imagenet, fer, standardized (each "
        "image by its own), or MEAN/STD of values 0-1",
    )
    reading.add_argument("--labels", metavar="A,B,…", help="the classes in the order of the outputs")
    reading.add_argument("--network", metavar="NAME", help="of a file of weights: timm:NAME, or one of ours")
    cli.add_count_option(reading, "--image-size", "of a file of weights, pixels")
    more = parser.add_argument_group("what more is measured")
    more.add_argument("--tta", action="store_true", help="the score with test-time augmentation (10 copies)")
    more.add_argument("--robustness", action="store_true", help="the mean error over eight corruptions")
    more.add_argument("--json", action="store_true", help="print the audits as JSON, for CI")
    cli.add_count_option(more, "--threads", "CPU threads", cli.available_cores())
    options = parser.parse_args()

    from emotorch.model_audit.audit import Request
    from emotorch.model_audit.command import run
    from emotorch.paths import Paths

    request = Request(
        claim=options.claim,
        scaling=options.preprocess,
        labels=tuple(options.labels.split(",")) if options.labels else None,
        network=options.network,
        image_size=options.image_size,
        tta=options.tta,
        robustness=options.robustness,
        threads=options.threads,
    )
    return run(Paths.from_environment(), options.files, request, as_json=options.json)


if __name__ == "__main__":
    cli.run(main)
