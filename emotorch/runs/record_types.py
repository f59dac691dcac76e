"""What `run.json` holds, as far as this code reads it: the types of its keys.

Any may be missing, as in records of earlier code: whatever asks for it then says so.
"""

from typing import Literal, TypedDict


class RecipeRecord(TypedDict, total=False):
    name: str
    network: str
    scheme: str
    network_config: dict[str, bool | float | str]
    fer_usage: str
    loss: str
    watch: str
    augmentation: dict[str, float | list[float]]


class SchemeRecord(TypedDict, total=False):
    name: str
    labels: list[str]
    sources: dict[str, dict[str, str]]


class SettingsRecord(TypedDict, total=False):
    recipe: RecipeRecord
    scheme: SchemeRecord
    factors: dict[str, float]
    train_on: str
    seed: int
    device: str
    threads: int
    tensorboard: bool
    checkpoint_every_s: float


class DatasetRecord(TypedDict, total=False):
    fingerprint: str
    synthetic: bool
    ckp: bool
    pixels: dict[str, int]


class ScoreRecord(TypedDict, total=False):
    loss: float | None
    accuracy: float | None
    macro_f1: float | None
    images: int


class PrivateScoring(TypedDict, total=False):
    time: str
    images: int
    correct: int
    dataset: str
    weights_sha256: str


class RunRecord(TypedDict, total=False):
    status: Literal["running", "finished", "failed", "interrupted"]
    started: str
    finished: str
    recipe: str
    labels: list[str]
    settings: SettingsRecord
    split_seed: int
    seed: int
    factors: dict[str, float]
    leaky: bool
    parameters: int
    device: str
    processes: int
    dataset: DatasetRecord
    counts: dict[str, int]
    teachers_sha256: list[str]
    versions: dict[str, str | None]
    best_epoch: int
    epochs_completed: int
    collapsed: bool
    never_answered: list[str]
    scores: dict[str, ScoreRecord]
    without_twins: dict[str, ScoreRecord]
    temperature: float
    timings_s: dict[str, float]
    error: str
    sweep: str
    sweep_number: int
    images_listed_in: str
    private_scorings: list[PrivateScoring]
    weights_sha256: str
    safetensors_sha256: str
    onnx_sha256: str
    files_sha256: dict[str, str]
    record_sha256: str
