"""The audit of a dataset, goal: 36,000 images in under a minute on two cores, whole, with its page.

    python benchmarks/bench_audit.py

Runs explore_dataset.py as a user does, on FER-2013's CSV where it is below EMOTORCH_ROOT, else on as many synthetic
faces; of a part of FER-2013 the time is stated for 36,000 in proportion.
"""

import tempfile
from pathlib import Path

from timing import make_parser, python, seconds

from emotorch.cli import available_cores
from emotorch.data import fer2013
from emotorch.data.synthetic_dataset import write_fer2013_csv
from emotorch.paths import REPOSITORY, Paths

IMAGES = 36_000
GOAL_S = 60.0


def main() -> None:
    make_parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        csv, faces = Paths.from_environment().fer_csv, "FER-2013"
        if not csv.is_file():
            csv, faces = Paths(Path(temporary)).fer_csv, "synthetic faces"
            write_fer2013_csv(csv, rows=IMAGES, seed=42)
        images = sum(1 for _ in fer2013.read_rows(csv))
        script = REPOSITORY / "develop_baseline_model" / "helpers" / "explore_dataset.py"
        taken = seconds(python(script, csv, EMOTORCH_ROOT=temporary)) * IMAGES / images
        print(
            f"audit of {images:,} {faces}: {taken:.1f} s for {IMAGES:,} images on {available_cores()} cores, "
            f"goal {GOAL_S:.0f} s: {'met' if taken <= GOAL_S else 'MISSED'}"
        )


if __name__ == "__main__":
    main()
