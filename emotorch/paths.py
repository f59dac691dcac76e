"""Every folder and file that a stage reads or writes, and the stages' scripts.

`EMOTORCH_ROOT` moves all data and model folders; without it they lie in the repository or, where the package is
installed without one, in the working directory. What ships with the code (the published original, the trained models)
is always read from where the code is. Each label scheme has dataset folders of its own.
"""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from emotorch.errors import UsageError
from emotorch.files import printable
from emotorch.labels import DEFAULT

REPOSITORY = Path(__file__).resolve().parents[1]
MODEL_ORIGINAL = REPOSITORY / "develop_baseline_model" / "models" / "model_original"
# Where pyproject.toml puts the models that ship in a wheel, which has no repository around the package.
_IN_WHEEL = Path(__file__).resolve().parent / "shipped"
IS_INSTALLED = _IN_WHEEL.is_dir()
SHIPPED_MODELS = _IN_WHEEL if IS_INSTALLED else REPOSITORY / "baseline_model" / "model"
# The scripts of the stages, as messages tell to run them.
STAGE_1 = "develop_baseline_model/helpers/FER_csv_to_img.py"
STAGE_2 = "develop_baseline_model/helpers/create_original_dataset.py"
STAGE_3 = "develop_baseline_model/helpers/augment_original_dataset.py"
STAGE_4 = "develop_baseline_model/models/convolutional_nn_pytorch.py"
# Stage 1's folder below FER-Datasets.
FER_IMAGES = "FER2013img"
# The folders of stages 2 and 3 begin with the first, for any scheme; stage 3's ends with the second.
ORIGINALS, AUGMENTED = "FER-Original-Dataset", "-Augmented"


@dataclass(frozen=True)
class Paths:
    """The folders below one root.

    Attributes:
        root: The folder above all.
        scheme: Name of the label scheme whose dataset folders these are.
    """

    root: Path
    scheme: str = DEFAULT

    @classmethod
    def from_environment(cls) -> "Paths":
        """Below `EMOTORCH_ROOT`; without it below the checkout, or the current folder where the code is installed."""
        named = os.environ.get("EMOTORCH_ROOT")
        try:
            default = Path.cwd() if IS_INSTALLED else REPOSITORY
            return cls(Path(named or default).expanduser().resolve())
        except (RuntimeError, OSError) as error:  # no such user, or the current folder is gone
            where = f"EMOTORCH_ROOT={named}" if named else "the current folder"
            raise UsageError(f"{where}: {error}; set EMOTORCH_ROOT to a folder") from None

    def for_scheme(self, name: str) -> "Paths":
        return replace(self, scheme=name)

    @property
    def raw(self) -> Path:
        return self.root / "FER-Datasets"

    @property
    def raw_duplicates(self) -> Path:
        """Duplicates that were moved out of the raw datasets: beside them, where no stage takes them for a dataset."""
        return self.root / "FER-Datasets-duplicates"

    @property
    def fer_csv(self) -> Path:
        """Where FER-2013's CSV lies by convention; stage 1 finds it anywhere."""
        return self.raw / "fer-2013" / "fer2013" / "fer2013.csv"

    @property
    def fer_images(self) -> Path:
        """FER-2013 as stage 1 writes it."""
        return self.raw / FER_IMAGES

    @property
    def ckplus(self) -> Path:
        """Where synthetic faces in CK+'s layout are drawn."""
        return self.raw / "CK+"

    @property
    def synthetic_marker(self) -> Path:
        return self.raw / "SYNTHETIC.txt"

    @property
    def is_synthetic(self) -> bool:
        """Whether the faces below this root are synthetic: every report says so then."""
        return self.synthetic_marker.is_file()

    @property
    def originals(self) -> Path:
        return self.root / f"{ORIGINALS}{self._suffix}"

    @property
    def augmented(self) -> Path:
        return self.root / f"{ORIGINALS}{self._suffix}{AUGMENTED}"

    @property
    def subsets(self) -> Path:
        return self.root / f"TRAIN-VAL DATA{self._suffix}"

    @property
    def cache(self) -> Path:
        return self.root / ".emotorch-cache" / self.scheme

    @property
    def models(self) -> Path:
        return self.root / "develop_baseline_model" / "models"

    @property
    def evaluations(self) -> Path:
        """Findings about models that ship, a folder for each: their own folders are read only."""
        return self.root / "evaluations"

    @property
    def reports(self) -> Path:
        """Reports on datasets: tables, and pictures with faces in them."""
        return self.root / "reports"

    @property
    def _suffix(self) -> str:
        return "" if self.scheme == DEFAULT else f"-{self.scheme}"

    def relative(self, path: Path) -> str:
        """The path as records state it: below the root, with forward slashes; see `printable`."""
        return printable(path.relative_to(self.root).as_posix())


def mark_synthetic(title: str, is_synthetic: bool) -> str:
    """A title of results, which says so where they are of synthetic faces."""
    return f"{title} (synthetic faces)" if is_synthetic else title
