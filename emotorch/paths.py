"""Every folder and file that a stage reads or writes.

`EMOTORCH_ROOT` moves all data and model folders; what ships with the code (the published original, the
trained models) is always read from the repository.
"""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
MODEL_ORIGINAL = REPOSITORY / "develop_baseline_model" / "models" / "model_original"
SHIPPED_MODELS = REPOSITORY / "baseline_model" / "model"


@dataclass(frozen=True)
class Paths:
    """The folders below one root."""

    root: Path

    @classmethod
    def from_environment(cls) -> "Paths":
        return cls(Path(os.environ.get("EMOTORCH_ROOT") or REPOSITORY).expanduser().resolve())

    @property
    def raw(self) -> Path:
        return self.root / "FER-Datasets"

    @property
    def fer_csv(self) -> Path:
        return self.raw / "fer-2013" / "fer2013" / "fer2013.csv"

    @property
    def fer_images(self) -> Path:
        return self.raw / "FER2013img"

    @property
    def ckplus(self) -> Path:
        return self.raw / "CK+"

    @property
    def rafdb(self) -> Path:
        return self.raw / "RAF-DB"

    @property
    def synthetic_marker(self) -> Path:
        return self.raw / "SYNTHETIC.txt"

    @property
    def is_synthetic(self) -> bool:
        """Whether the faces below this root are drawn by a program: every report says so then."""
        return self.synthetic_marker.is_file()

    @property
    def originals(self) -> Path:
        return self.root / "FER-Original-Dataset"

    @property
    def augmented(self) -> Path:
        return self.root / "FER-Original-Dataset-Augmented"

    @property
    def subsets(self) -> Path:
        return self.root / "TRAIN-VAL DATA"

    @property
    def cache(self) -> Path:
        return self.root / ".emotorch-cache"

    @property
    def models(self) -> Path:
        return self.root / "develop_baseline_model" / "models"

    def relative(self, path: Path) -> str:
        """The path as records state it: below the root, with forward slashes."""
        return path.relative_to(self.root).as_posix()
