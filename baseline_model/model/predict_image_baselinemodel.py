"""Says what emotion faces show: in pictures of any format and size, folders of them, videos, or before a camera.

Reads  the inputs, and a trained model
Prints emotion, confidence and the distribution, or a table; with --json an object per picture and per frame
Writes what --csv, --save and --visualize ask for, nothing otherwise
"""

from emotorch import cli
from emotorch.inference.arguments import run_prediction


def main() -> int:
    parser = cli.make_parser(
        __doc__,
        "python baseline_model/model/predict_image_baselinemodel.py photo.jpg --save prediction.png\n"
        "  python baseline_model/model/predict_image_baselinemodel.py holidays/ --model compact --csv predictions.csv\n"
        "  python baseline_model/model/predict_image_baselinemodel.py clip.mp4 --save annotated.mp4\n"
        "  python baseline_model/model/predict_image_baselinemodel.py photo.jpg path/to/model.pth",
    )
    return run_prediction(parser, "emotorch")


if __name__ == "__main__":
    cli.run(main)
