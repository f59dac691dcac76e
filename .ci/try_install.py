"""What a fresh install of the wheel alone must do, in the working directory: run by .ci/small_install."""

import json
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path

MOST_MB = 400
NOT_NEEDED = ("torch", "pandas", "matplotlib", "scipy")
OF_PIP = ("pip", "setuptools", "pkg_resources", "_distutils_hack")


def main() -> None:
    found = [name for name in NOT_NEEDED if find_spec(name)]
    assert not found, f"a small install brings {found}"

    site = Path(sysconfig.get_path("purelib"))
    files = [path for path in site.rglob("*") if path.is_file()]
    ours = [path for path in files if not path.relative_to(site).parts[0].startswith(OF_PIP)]
    size = sum(path.stat().st_size for path in ours) / 1e6
    print(f"{size:.0f} MB in {len(list(distributions()))} packages, Python {sys.version.split()[0]}")
    assert size < MOST_MB

    import cv2

    from emotorch.data.synthetic import Identity, draw_face
    from emotorch.seeding import generator

    rng = generator("small install")
    cv2.imwrite("face.png", draw_face("fear", Identity(rng), rng))
    command = [str(Path(sys.executable).with_name("emotorch")), "face.png", "--json"]
    for model in ("compact", "emotorch"):
        done = subprocess.run([*command, "--model", model], capture_output=True, text=True, check=True)
        (face,) = json.loads(done.stdout)["faces"]
        print(f"{model}: {face['emotion']} ({face['confidence']:.1%})")

    import emotorch

    (prediction,) = emotorch.predict("face.png")
    assert (
        prediction.probabilities
        == json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["faces"][0]["probabilities"]
    )


if __name__ == "__main__":
    main()
