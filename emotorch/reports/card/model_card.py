"""The model card of a run, `MODEL/README.md`: every figure read from the run's files, what is missing said to be.

Source of what a card holds: Mitchell et al., "Model cards for model reporting" (FAT* 2019).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from emotorch.analysis.metrics import class_scores, wilson_interval
from emotorch.analysis.results import read_findings
from emotorch.data.selection import dataset_title
from emotorch.data.split import VALIDATION_SHARE
from emotorch.files import hash_file, write_text
from emotorch.networks.describe import layers, total
from emotorch.paths import Paths
from emotorch.reports.card import texts as card_texts
from emotorch.reports.card.findings import render_findings, table, words
from emotorch.reports.card.metadata import Result, front_matter
from emotorch.reports.card.reproduction import commands
from emotorch.reports.card.scores import QUESTION as SCORES
from emotorch.reports.card.scores import measure
from emotorch.runs import Matrix, Run, read_accuracies, read_image_usage, read_matrix
from emotorch.training.checkpoints import Model, load_model

CARD_NAME = "README.md"
_UNKNOWN = "unknown"
_DASH = "–"
_SCRIPTS = "develop_baseline_model/models"
# Files of a run's folder without a face in them, in the order in which the card names them.
_PUBLISHABLE = (
    CARD_NAME,
    "model.pth",
    "*.onnx",
    "*.safetensors",
    "run.json",
    "model_parameters.txt",
    "final_accuracies.csv",
    "classification_report.txt",
    "usage_summary.csv",
    "image_usage.csv",
    "training_history*",
    "confusion_*",
    f"{SCORES}/*",
)
_DATASET_KINDS = {"fer": "fer2013", "ckp": "ck-plus", "raf": "raf-db"}
_FER_SPLITS = {
    "all": "All of FER-2013 is split {held_out} into held-out and training images, stratified by class, as published; "
    "the official test rows are on both sides.",
    "training": "FER-2013's Training rows are split {held_out} into held-out and training images, stratified by "
    "class. PublicTest and PrivateTest are neither trained on nor used to choose anything.",
    "search": "A tenth of FER-2013's Training rows is held out to choose by, the rest trains. PublicTest and "
    "PrivateTest are neither trained on nor used to choose anything.",
    "official": "The official split of FER-2013: Training trains, PublicTest selects the epoch, PrivateTest is for "
    "one scoring at the end.",
}


@dataclass(frozen=True)
class _Facts:
    """All that a card is made from.

    Attributes:
        run: The model's.
        record: Its run.json; without settings when other code wrote the run.
        model: Its best epoch.
        weights: The file of it.
        scores: What `card_scores.measure` found, by the set's name.
    """

    run: Run
    record: Mapping[str, Any]
    model: Model
    weights: Path
    scores: Mapping[str, Mapping[str, Any]]

    @property
    def settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.record.get("settings", {})
        return found

    @property
    def synthetic(self) -> bool:
        return bool(self.record.get("dataset", {}).get("synthetic"))

    @property
    def train_on(self) -> str:
        """The name in files of the dataset that was trained on: `fer`, …"""
        return str(self.settings.get("train_on", "FER")).lower()

    @property
    def fer_usage(self) -> str | None:
        return self.settings["recipe"]["fer_usage"] if self.settings and self.train_on == "fer" else None


def write_model_card(paths: Paths, run: Run, weights: Path, device: torch.device, *, force: bool = False) -> Path:
    """Measures what there are images for, and writes `MODEL/README.md`; returns it.

    Args:
        paths: Where the datasets are.
        run: A finished run, also one in the published format.
        weights: Its best epoch.
        device: To run the network on.
        force: Measure again what is measured already.

    Raises:
        EmoTorchError: the weights or an image are damaged.
    """
    model = load_model(weights)
    measured = measure(paths, run, weights, model, device, force=force) or {"sets": []}
    facts = _Facts(run, run.record, model, weights, {found["name"]: found for found in measured["sets"]})
    path = run.folder / CARD_NAME
    write_text(path, render(facts))
    return path


def render(facts: _Facts) -> str:
    """The card as Markdown, with its metadata in front."""
    sections = (
        ("Results", _results(facts)),
        ("Answers by class", _classes(facts)),
        ("Confidence", _confidence(facts)),
        ("Robustness", _found(facts, "robustness", "measure_robustness.py MODEL")),
        ("Fairness", _found(facts, "fairness", "analyze_fairness.py MODEL --attributes CSV")),
        ("Data and protocol", _data(facts)),
        ("Training", _training(facts)),
        ("Files", _files(facts)),
        ("How to use it", _use(facts)),
        ("How to make it again", _reproduction(facts)),
        ("Intended use", card_texts.INTENDED_USE),
        ("Misuse", card_texts.MISUSE),
        ("The law", card_texts.EU_AI_ACT),
        ("Limits", card_texts.LIMITS),
        ("Terms", _terms(facts)),
        ("What may be published", _publishable(facts)),
    )
    parts = [_metadata(facts), f"# {_name(facts)}", *_warnings(facts), _summary(facts)]
    parts += [f"## {title}\n\n{content}" for title, content in sections]
    return "\n\n".join(parts) + "\n"


# --- Head ---------------------------------------------------------------------------------------------------


def _name(facts: _Facts) -> str:
    recipe = facts.settings.get("recipe", {}).get("name", "emotorch")
    return facts.run.name if recipe in facts.run.name else f"{facts.run.name} ({recipe})"


def _metadata(facts: _Facts) -> str:
    recipe = facts.settings.get("recipe", {}).get("name", "emotorch")
    tags = ["emotorch", recipe, "facial-expression-recognition", "emotion-recognition", "pytorch"]
    datasets = [] if facts.synthetic else [_kind(facts, facts.train_on)]
    if facts.synthetic:
        tags.append("synthetic-data")
    results = [
        Result(row.title, _kind(facts, row.dataset), row.split, row.metrics) for row in _rows(facts) if row.images
    ]
    return front_matter(facts.run.name, list(dict.fromkeys(tags)), datasets, results)


def _kind(facts: _Facts, dataset: str) -> str:
    return "synthetic-faces" if facts.synthetic else _DATASET_KINDS.get(dataset, dataset)


def _warnings(facts: _Facts) -> list[str]:
    found = [card_texts.SYNTHETIC] if facts.synthetic else []
    if facts.record.get("collapsed"):
        found.append("**Collapsed.** This model gives one answer to every face: it is of no use.")
    elif facts.record.get("never_answered"):
        found.append(f"**This model never answers {', '.join(facts.record['never_answered'])}.**")
    if not facts.settings:
        found.append(
            "**In the published format.** The folder has no run.json: how the model was trained, on which images, by "
            "which code and in which environment is unknown. What stands below is what its files say."
        )
    return found


def _summary(facts: _Facts) -> str:
    form = facts.model.form
    size = total(layers(facts.model.network, (form.channels, form.image_size, form.image_size)))
    recipe = facts.settings.get("recipe", {})
    rows = [
        ("task", "which emotion a picture of a face would be labelled with"),
        ("classes", ", ".join(facts.model.labels)),
        ("input", f"a face in grey, {form.image_size}×{form.image_size} pixels, {form.channels} channel(s)"),
        ("recipe, network", f"`{recipe['name']}`, `{recipe['network']}`" if recipe else "`emotorch_cnn`, as published"),
        ("parameters", f"{size.parameters:,}"),
        ("multiply-adds for a face", f"{size.multiply_adds:,}"),
        ("weights", f"{_size(facts.weights)} bytes"),
        ("made by", f"EmoTorch {facts.record['versions']['emotorch']}" if facts.settings else _UNKNOWN),
    ]
    return table(("", ""), rows)


# --- Results ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Row:
    """A set of images with what the model scored on it.

    Attributes:
        title: For a person.
        dataset: `fer`, …
        split: For a program.
        role: What the set was used for: what the score may be called.
        images: 0 where the number is unknown.
        accuracy: Percent.
        macro_f1: Percent, or None.
        ece: Expected calibration error at the model's own temperature, 0 to 1, or None.
    """

    title: str
    dataset: str
    split: str
    role: str
    images: int
    accuracy: float
    macro_f1: float | None
    ece: float | None = None

    @property
    def metrics(self) -> dict[str, float]:
        values = {"accuracy": self.accuracy / 100}
        if self.macro_f1 is not None:
            values["f1"] = self.macro_f1 / 100
        if self.ece is not None:
            values["expected_calibration_error"] = self.ece
        return values

    @property
    def interval(self) -> str:
        if not self.images:
            return _UNKNOWN
        low, high = wilson_interval(round(self.accuracy / 100 * self.images), self.images)
        return f"{low:.2f}–{high:.2f}"


def _results(facts: _Facts) -> str:
    rows = _rows(facts)
    if not rows:
        return _missing("No score is known", f"{_SCRIPTS}/evaluate_model.py {facts.run.name}")
    lines = [
        table(
            ("images", "what they are", "n", "accuracy %", "95% interval", "macro-F1 %"),
            [
                (
                    row.title,
                    row.role,
                    f"{row.images:,}" if row.images else _UNKNOWN,
                    f"{row.accuracy:.2f}",
                    row.interval,
                    _DASH if row.macro_f1 is None else f"{row.macro_f1:.2f}",
                )
                for row in rows
            ],
        )
    ]
    training = facts.record.get("scores", {}).get("training")
    if training:
        lines.append(
            f"On its {training['images']:,} training images it scores {training['accuracy']:.2f}%, "
            "which is no test of anything."
        )
    lines.append(_twins(facts))
    lines.append(_private(facts))
    if any(count for _, count in _variant_counts(facts)):
        lines.append(
            "Intervals are Wilson's, and take images for independent of each other. Where variants of an image are "
            "among those scored, they are a little too narrow."
        )
    else:
        lines.append("Intervals are Wilson's.")
    pictures = ("confusion_matrices_fer_vs_ckp.png", "training_history.png")
    lines += [f"![{words(Path(name).stem)}]({name})" for name in pictures if (facts.run.folder / name).is_file()]
    return "\n\n".join(line for line in lines if line)


def _rows(facts: _Facts) -> list[_Row]:
    scores = facts.record.get("scores")
    rows = _recorded_rows(facts, scores) if scores else _published_rows(facts)
    public = facts.scores.get("fer-public")
    if public:
        rows.append(_measured_row(facts, public))
    return rows


def _recorded_rows(facts: _Facts, scores: Mapping[str, Mapping[str, Any]]) -> list[_Row]:
    rows = []
    for name, score in scores.items():
        dataset, part = _set(facts, name)
        if name == "training" or _is_repeated(facts, name):
            continue
        rows.append(
            _Row(
                f"{_title(facts, dataset)}, {part}",
                dataset,
                part.replace(",", "").replace(" ", "-").lower(),
                _role(facts, name, dataset),
                score["images"],
                score["accuracy"],
                score["macro_f1"],
                _measured_ece(facts, f"{name}_val"),
            )
        )
    return rows


def _set(facts: _Facts, name: str) -> tuple[str, str]:
    """The dataset and the part of it that a set of a run's record is: `fer_reference`, …"""
    dataset = name.removesuffix("_reference")
    if dataset == "fer" and facts.fer_usage == "official":
        counts = facts.record["counts"]
        with_variants = name == dataset and counts.get("fer") != counts.get("fer_reference")
        return dataset, "PublicTest as drawn, with variants" if with_variants else "PublicTest"
    if name == dataset:
        return dataset, "validation images"
    return dataset, "all originals" if dataset == "ckp" else "held-out originals"


def _is_repeated(facts: _Facts, name: str) -> bool:
    """Whether a reference set is the validation set itself: whole, and no variant among it."""
    dataset, counts = name.removesuffix("_reference"), facts.record["counts"]
    if dataset == name or counts.get(dataset) != counts[name]:
        return False
    return dict(_variant_counts(facts)).get(f"{dataset} validation") == 0


def _set_title(facts: _Facts, name: str) -> str:
    if name == "training":
        return "training"
    dataset, part = _set(facts, name)
    return f"{_title(facts, dataset)}, {part}"


def _title(facts: _Facts, dataset: str) -> str:
    title = {"fer": "FER-2013"}.get(dataset, dataset_title(dataset))
    return f"{title} (drawn faces)" if facts.synthetic else title


def _role(facts: _Facts, name: str, dataset: str) -> str:
    if dataset not in facts.record["scores"]:
        return "neither trained on nor used to choose"
    if name == dataset:
        return "not trained on; chose the epoch: a score of selection"
    return "not trained on; those that the factors drew, and their variants, chose the epoch"


def _measured_ece(facts: _Facts, name: str) -> float | None:
    """At the model's temperature; cross-fitted where that was fitted on these very images."""
    found = facts.scores.get(name)
    if not found or not found["reliability"]:
        return None
    reliability = found["reliability"]
    ece: float = (reliability["crossed"] or reliability["after"])["ece"]
    return ece


def _measured_row(facts: _Facts, public: Mapping[str, Any]) -> _Row:
    counts = public["counts"]
    classes = class_scores(counts, facts.model.labels)
    images, correct = sum(score.images for score in classes), sum(score.correct for score in classes)
    f1 = [0.0 if math.isnan(score.f1) else score.f1 for score in classes]
    return _Row(
        f"{_title(facts, 'fer')}, PublicTest",
        "fer",
        "publictest",
        "unseen: neither trained on nor used to choose",
        images,
        100 * correct / images,
        sum(f1) / len(f1),
        _measured_ece(facts, "fer-public"),
    )


def _published_rows(facts: _Facts) -> list[_Row]:
    """From the tables of a run in the published format."""
    if not (facts.run.folder / "final_accuracies.csv").is_file():
        return []
    accuracies = read_accuracies(facts.run)
    rows = []
    for name in ("fer", "ckp"):
        accuracy = accuracies.get(f"{name.upper()} Validation Accuracy", math.nan)
        if not math.isnan(accuracy):
            images = _class_matrix(facts.run, name)
            number = sum(map(sum, images.counts)) if images and images.counts else 0
            role = "how they were chosen is unknown"
            rows.append(
                _Row(f"{dataset_title(name)}, validation images", name, "validation", role, number, accuracy, None)
            )
    return rows


def _twins(facts: _Facts) -> str:
    lines = [
        f"- {_title(facts, name)}: {facts.record['scores'][name]['images'] - without['images']:,} of the "
        f"{facts.record['scores'][name]['images']:,} images have an exact twin in training. Without them: "
        f"{_accuracy(without['accuracy'], without['images'])}."
        for name, without in facts.record.get("without_twins", {}).items()
    ]
    public = facts.scores.get("fer-public")
    lines += [f"- {line}" for line in public["lines"] if "twin" in line] if public else []
    return "\n".join(lines)


def _private(facts: _Facts) -> str:
    scorings = facts.record.get("private_scorings", [])
    if not scorings:
        return "FER-2013's PrivateTest has not been scored." if facts.fer_usage else ""
    lines = [f"FER-2013's PrivateTest has been scored {len(scorings)} time(s); only the first look counts as unseen:"]
    for scoring in scorings:
        accuracy = _accuracy(100 * scoring["correct"] / scoring["images"], scoring["images"])
        lines.append(f"- {scoring['time']}: {accuracy}")
    return "\n".join((lines[0], "", *lines[1:]))


def _accuracy(accuracy: float, images: int) -> str:
    low, high = wilson_interval(round(accuracy / 100 * images), images)
    return f"{accuracy:.2f}% (95% interval {low:.2f}–{high:.2f}, n {images:,})"


def _classes(facts: _Facts) -> str:
    parts = []
    for name in _validating(facts):
        matrix = _class_matrix(facts.run, name)
        if matrix is None:
            continue
        if matrix.counts is None:
            parts.append(f"{_set_title(facts, name)}: only the matrix's proportions are known.")
            parts.append(_proportions(matrix))
            continue
        parts.append(f"{_set_title(facts, name)}:")
        parts.append(_class_table(matrix.counts, matrix.labels))
    public = facts.scores.get("fer-public")
    if public:
        parts.append(f"{_title(facts, 'fer')}, PublicTest:")
        parts.append(_class_table(public["counts"], facts.model.labels))
    return "\n\n".join(parts) or _missing(
        "No confusion matrix is there", f"{_SCRIPTS}/evaluate_model.py {facts.run.name}"
    )


def _validating(facts: _Facts) -> list[str]:
    counts = facts.record.get("counts", {"fer": 0, "ckp": 0})
    return [name for name in counts if name != "training" and not name.endswith("_reference")]


def _class_matrix(run: Run, name: str) -> Matrix | None:
    return read_matrix(run, f"{name}_val")


def _class_table(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> str:
    rows = []
    for score in class_scores(counts, labels):
        low, high = wilson_interval(score.correct, score.images)
        interval = f"{low:.1f}–{high:.1f}" if score.images else _DASH
        figures = (_percent(score.precision), _percent(score.recall), interval, _percent(score.f1))
        rows.append((score.label, f"{score.images:,}", *figures))
    return table(("class", "n", "precision %", "recall %", "recall, 95% interval", "F1 %"), rows)


def _proportions(matrix: Matrix) -> str:
    rows = [
        (label, *(f"{100 * share:.1f}" for share in shares))
        for label, shares in zip(matrix.labels, matrix.proportions, strict=True)
    ]
    return table(("true class, % answered as", *matrix.labels), rows)


# --- Confidence, robustness, fairness -----------------------------------------------------------------------


def _confidence(facts: _Facts) -> str:
    temperature = facts.model.temperature
    if temperature == 1.0:
        parts = ["The file states no temperature: its confidences are the softmax of its outputs, as trained."]
    else:
        parts = [
            f"Confidences are the softmax of the outputs divided by the temperature {temperature:.6g}, which is fitted "
            "on all validation images (Guo et al., 2017) and stored with the weights. The expected calibration error "
            "(15 bins of equal width) on those images is one of fitting; the honest figure is the cross-fitted one: "
            "each half of them, split by source, at the temperature that the other half gives. The epoch was chosen "
            "on the same images."
        ]
    found = {name: scored for name, scored in facts.scores.items() if scored["reliability"]}
    if not found:
        command = f"{_SCRIPTS}/write_model_card.py {facts.run.name}"
        return "\n\n".join([*parts, _missing("The calibration is not measured: the images were not there", command)])
    rows = []
    for name, scored in found.items():
        reliability = scored["reliability"]
        before, after, crossed = reliability["before"], reliability["after"], reliability["crossed"]
        honest = f"{crossed['ece']:.2%}" if crossed else _DASH
        fitted = "–" if temperature == 1.0 else "yes" if reliability["fitted_on"] else "no"
        own = (f"{after['ece']:.2%}", honest, f"{after['by_chance']:.2%}")
        losses = (f"{before['brier']:.4f} → {after['brier']:.4f}", f"{before['nll']:.4f} → {after['nll']:.4f}")
        rows.append(
            (_measured_title(facts, name), f"{after['images']:,}", fitted, f"{before['ece']:.2%}", *own, *losses)
        )
    columns = ("images", "n", "fitted on them", "as trained", "with its temperature", "cross-fitted", "by chance")
    parts.append(table((*columns, "Brier score", "NLL"), rows))
    parts.append("*By chance*: what a perfectly calibrated model with these confidences would show on so few images.")
    for name in found:
        picture = f"{SCORES}/reliability_{name}.png"
        if (facts.run.folder / picture).is_file():
            parts.append(f"![Reliability diagram of {_measured_title(facts, name)}]({picture})")
    return "\n\n".join(parts)


def _measured_title(facts: _Facts, name: str) -> str:
    if name == "fer-public":
        return f"{_title(facts, 'fer')}, PublicTest"
    return _set_title(facts, name.removesuffix("_val"))


def _found(facts: _Facts, question: str, script: str) -> str:
    """The findings of an analysis, as they are; or that there are none."""
    findings = read_findings(facts.run, question, facts.weights)
    if findings is None:
        return _missing("Not measured", f"{_SCRIPTS}/{script.replace('MODEL', facts.run.name)}")
    folder = facts.run.folder / question
    files = ", ".join(f"`{path.name}`" for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".png"))
    more = f"\n\nTables and pictures, in `{question}/` of the run's folder: {files}." if files else ""
    return "\n\n".join(render_findings(findings)) + more


# --- Data and training --------------------------------------------------------------------------------------


def _data(facts: _Facts) -> str:
    if not facts.settings:
        rows = read_image_usage(facts.run)
        known = "" if rows is None else f" `image_usage.csv` names {len(rows):,} images."
        return f"Unknown: the folder has no run.json.{known}"
    if facts.train_on == "fer":
        share = f"{100 * VALIDATION_SHARE:.0f}/{100 - 100 * VALIDATION_SHARE:.0f}"
        split = _FER_SPLITS[str(facts.fer_usage)].format(held_out=share)
    else:
        split = (
            f"{_title(facts, facts.train_on)} trains. Its own split counts where it has one; else "
            f"{100 * VALIDATION_SHARE:.0f}% of it are held out, of CK+ whole persons."
        )
    parts = [
        split,
        f"The split is by source, before augmentation, by the fixed seed {facts.record['split_seed']}: images with "
        "equal pixels are one source, and all variants of an image are on its side. An official split is the "
        "exception: its twins are counted above.",
    ]
    if not facts.record["dataset"]["ckp"]:
        parts.append("There was no CK+ in the dataset: nothing validates on it.")
    elif "ckp" in facts.record["counts"]:
        parts.append("CK+ is never trained on, but took part in choosing the epoch.")
    sizes = {name: count for name, count in facts.record["counts"].items() if not _is_repeated(facts, name)}
    counts = [(_set_title(facts, name), f"{count:,}") for name, count in sizes.items()]
    parts.append(table(("set", "images"), counts))
    factors = ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in facts.record["factors"].items())
    parts.append(f"Parts of the images and of their variants (28 for each) that were drawn: {factors}.")
    variants = [f"{count:,} of {name}" for name, count in _variant_counts(facts) if count]
    if variants:
        parts.append(f"Variants among the images: {', '.join(variants)}.")
    parts.append(f"Fingerprint of the dataset: `{facts.record['dataset']['fingerprint']}`.")
    labels = facts.settings["scheme"]["sources"]
    mapped = [(name, ", ".join(f"{a} → {b}" for a, b in classes.items())) for name, classes in labels.items()]
    parts.append(table(("dataset", f"its classes, read as scheme `{facts.settings['scheme']['name']}`"), mapped))
    return "\n\n".join(parts)


def _variant_counts(facts: _Facts) -> list[tuple[str, int]]:
    """How many of each usage's images are variants, which have the operation in their name."""
    counts: dict[str, int] = {}
    for row in read_image_usage(facts.run) or []:
        usage = words(row["usage"])
        counts[usage] = counts.get(usage, 0) + ("_" in Path(row["image_path"]).stem)
    return list(counts.items())


def _training(facts: _Facts) -> str:
    if not facts.settings:
        return "Unknown: the folder has no run.json."
    recipe = dict(facts.settings["recipe"])
    augmentation = recipe.pop("augmentation")
    config = recipe.pop("network_config")
    rows = [(words(name), _setting(value)) for name, value in recipe.items() if value not in ("", None)]
    rows += [(f"network: {words(name)}", _setting(value)) for name, value in config.items()]
    rows += [(f"augmentation: {words(name)}", _setting(value)) for name, value in augmentation.items()]
    record = facts.record
    timing = record.get("timings_s", {}).get("training")
    minutes = "" if timing is None else f" in {timing / 60:.1f} minutes"
    text = (
        f"{record.get('epochs_completed', _UNKNOWN)} epochs{minutes} on {record['device']} with "
        f"{facts.settings['threads']} thread(s), seed {record['seed']}; the weights are those of epoch "
        f"{record.get('best_epoch', _UNKNOWN)}, the best by {recipe['watch']} over the validation images. "
        f"The run is {facts.run.status(record)}."
    )
    versions = table(("part", "version"), [(name, f"`{value}`") for name, value in record["versions"].items()])
    settings = table(("setting", "value"), rows)
    return f"{text}\n\n{versions}\n\n<details><summary>Every setting</summary>\n\n{settings}\n\n</details>"


def _setting(value: object) -> str:
    return " to ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


# --- Files and use ------------------------------------------------------------------------------------------


def _files(facts: _Facts) -> str:
    models = [path for pattern in ("*.pth", "*.onnx", "*.safetensors") for path in facts.run.folder.glob(pattern)]
    rows = [(f"`{path.name}`", _size(path), f"`{hash_file(path)}`") for path in sorted(models)]
    return table(("file", "bytes", "SHA-256"), rows) + (
        "\n\n`model.pth` is the best epoch; it is read with `weights_only=True`, so that opening it runs no code."
    )


def _size(path: Path) -> str:
    return f"{path.stat().st_size:,}"


def _use(facts: _Facts) -> str:
    predict = "baseline_model/model/predict_image_baselinemodel.py"
    lines = [
        f"python {predict} photo.jpg --model path/to/{facts.run.name}",
        f"python {_SCRIPTS}/evaluate_model.py path/to/{facts.run.name} path/to/class/folders",
        f"python baseline_model/model/eval_model.py --model path/to/{facts.run.name}",
    ]
    return "From a checkout of EmoTorch:\n\n" + _code(lines) + "\n\nIn Python:\n\n" + _code(_SNIPPET, "python")


_SNIPPET = """\
from pathlib import Path

import torch
from emotorch.data.images import read_picture, resize
from emotorch.training.calibration import probabilities
from emotorch.training.checkpoints import load_model
from emotorch.training.loop import network_outputs

model = load_model(Path("model.pth"))
face = torch.from_numpy(resize(read_picture(Path("face.png"))))[None, None]
shares = probabilities(network_outputs(model.network, face, model.form), model.temperature)[0]
print(dict(zip(model.labels, shares.tolist())))""".splitlines()


def _reproduction(facts: _Facts) -> str:
    if not facts.settings:
        return "Unknown: the folder has no run.json."
    code = facts.record["versions"]["code"]
    lines = commands(facts.record)
    if lines is None:
        return f"The recipes of this version cannot be changed into this run's: check out `{code or _UNKNOWN}`."
    threads = facts.settings["threads"]
    return (
        f"With FER-2013 (and what else the table of sets names) in `FER-Datasets/`, from commit `{code or _UNKNOWN}`:"
        f"\n\n{_code(lines)}\n\nEqual weights, bit for bit, need the same dataset (see its fingerprint), variants of "
        f"stage 3's default seed, {threads} thread(s), the same device and the same versions. The figures come from "
        f"these commands' files, and from:\n\n{_code([f'python {_SCRIPTS}/write_model_card.py {facts.run.name}'])}"
    )


def _terms(facts: _Facts) -> str:
    parts = [card_texts.LICENSE]
    if not facts.synthetic:
        parts.append(card_texts.FER_TERMS if facts.train_on == "fer" else card_texts.OTHER_TERMS)
    return "\n\n".join(parts)


def _publishable(facts: _Facts) -> str:
    folder = facts.run.folder
    found = [CARD_NAME] + [
        path.relative_to(folder).as_posix()
        for pattern in _PUBLISHABLE[1:]
        for path in sorted(folder.glob(pattern))
        if path.is_file() and not path.name.startswith(".")
    ]
    listed = "\n".join(f"- `{name}`" for name in dict.fromkeys(found))
    return (
        "These files of the folder hold no face. All others may (sheets of samples, wrongly answered images, "
        f"saliency maps), and stay where they are.\n\n{listed}"
    )


# --- Markdown -----------------------------------------------------------------------------------------------


def _code(lines: Sequence[str], language: str = "sh") -> str:
    return "\n".join([f"```{language}", *lines, "```"])


def _missing(what: str, command: str) -> str:
    return f"{what}: run `python {command}`."


def _percent(value: float) -> str:
    return _DASH if math.isnan(value) else f"{value:.1f}"
