"""A page to try a trained model: drop a picture or use the camera, and see what expression each face shows.

Reads  a trained model; pictures that are shown to the page, which stay on this machine and are not kept
Prints the page's address, which only this machine reaches
"""

from emotorch import cli
from emotorch.inference.arguments import run_demo


def main() -> None:
    run_demo(cli.make_parser(__doc__, "python baseline_model/model/demo.py --model compact"), None, "emotorch")


if __name__ == "__main__":
    cli.run(main)
