"""What `run.json` holds, as far as this code reads it: the types of its keys."""

from typing import Literal, Required, TypedDict


class RecipeRecord(TypedDict, total=False):
    name: Required[str]
    network: Required[str]
    scheme: Required[str]
    network_config: Required[dict[str, bool | float | str]]
    fer_usage: Required[str]
    loss: Required[str]
    watch: Required[str]
    augmentation: Required[dict[str, float | list[float]]]


class SchemeRecord(TypedDict):
    name: str
    labels: list[str]
    sources: dict[str, dict[str, str]]


class SettingsRecord(TypedDict, total=False):
    recipe: Required[RecipeRecord]
    scheme: Required[SchemeRecord]
    factors: Required[dict[str, float]]
    train_on: str
    seed: int
    device: str
    threads: int
    tensorboard: bool
    checkpoint_every_s: float


class DatasetRecord(TypedDict, total=False):
    fingerprint: Required[str]
    synthetic: bool
    ckp: bool
    pixels: dict[str, int]


class ScoreRecord(TypedDict):
    loss: float | None
    accuracy: float | None
    macro_f1: float | None
    images: int


class PrivateScoring(TypedDict, total=False):
    time: Required[str]
    images: Required[int]
    correct: Required[int]
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
