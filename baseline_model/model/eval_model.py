"""Scores a model on its own validation images, FER beside CK+, as image_usage.csv names them, and its training apart.

Reads  MODEL/image_usage.csv, MODEL/model.pth and the images that it names, found by their hashes
Writes MODEL/evaluation_image_usage_<time>/: reports, matrices, calibration, misclassified images, one combined picture

If the run was not validated on one of the two, all images of it that the run was not trained on are scored. If its
validation images are unknown, or not here, FER-2013's PublicTest and PrivateTest stand in.
"""

from emotorch import cli


def main() -> None:
    parser = cli.make_parser(__doc__, "python baseline_model/model/eval_model.py --model compact")
    cli.add_shipped_model_option(parser)
    cli.add_device_options(parser)
    options = parser.parse_args()

    from emotorch.evaluation.folder import report, write_usage_evaluation
    from emotorch.evaluation.loaded_run import LoadedRun
    from emotorch.evaluation.own_images import evaluate_usage

    loaded = LoadedRun.from_options(options)
    evaluations = evaluate_usage(loaded)
    folder = write_usage_evaluation(loaded, evaluations)
    for evaluation in evaluations:
        print(report(loaded.model, evaluation))
    print(folder)


if __name__ == "__main__":
    cli.run(main)
