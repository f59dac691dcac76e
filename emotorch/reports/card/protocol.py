"""On what and how a model was trained, in its card."""

import shlex
from collections.abc import Mapping
from typing import Any

from emotorch.data.dataset import COMMAND as STAGE_2
from emotorch.data.fer2013 import COMMAND as STAGE_1
from emotorch.data.split import VALIDATION_SHARE
from emotorch.data.variants import COMMAND as STAGE_3
from emotorch.datasets import FER, find_dataset
from emotorch.files import STAMP_NAME, hash_file
from emotorch.labels import SCHEMES, command
from emotorch.overrides import override, setting_types
from emotorch.recipes import RECIPES, Recipe
from emotorch.reports.card.facts import (
    CARD_NAME,
    SCRIPTS,
    UNKNOWN,
    Facts,
    bytes_of,
    code_block,
    is_repeated,
    set_title,
    table,
    title_of,
    variant_counts,
    words,
)
from emotorch.runs.folder import FACELESS, FACELESS_FINDINGS
from emotorch.runs.usage import read_image_usage

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


def describe_data(facts: Facts) -> str:
    if not facts.settings:
        rows = read_image_usage(facts.run)
        known = "" if rows is None else f" `image_usage.csv` names {len(rows):,} images."
        return f"Unknown: the folder has no run.json.{known}"
    if facts.train_on == FER.key:
        share = f"{100 * VALIDATION_SHARE:.0f}/{100 - 100 * VALIDATION_SHARE:.0f}"
        split = _FER_SPLITS[str(facts.fer_usage)].format(held_out=share)
    else:
        persons = ", whole persons" if find_dataset(facts.train_on).tells_persons else ""
        split = (
            f"{title_of(facts, facts.train_on)} trains. Its own split counts where it has one; else "
            f"{100 * VALIDATION_SHARE:.0f}% of it are held out{persons}."
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
    sizes = {name: count for name, count in facts.record["counts"].items() if not is_repeated(facts, name)}
    counts = [(set_title(facts, name), f"{count:,}") for name, count in sizes.items()]
    parts.append(table(("set", "images"), counts))
    factors = ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in facts.record["factors"].items())
    parts.append(f"Parts of the images and of their variants (28 for each) that were drawn: {factors}.")
    variants = [f"{count:,} of {name}" for name, count in variant_counts(facts) if count]
    if variants:
        parts.append(f"Variants among the images: {', '.join(variants)}.")
    parts.append(f"Fingerprint of the dataset: `{facts.record['dataset']['fingerprint']}`.")
    labels = facts.settings["scheme"]["sources"]
    mapped = [(name, ", ".join(f"{a} → {b}" for a, b in classes.items())) for name, classes in labels.items()]
    parts.append(table(("dataset", f"its classes, read as scheme `{facts.settings['scheme']['name']}`"), mapped))
    return "\n\n".join(parts)


def describe_training(facts: Facts) -> str:
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
        f"{record.get('epochs_completed', UNKNOWN)} epochs{minutes} on {record['device']} with "
        f"{facts.settings['threads']} thread(s), seed {record['seed']}; the weights are those of epoch "
        f"{record.get('best_epoch', UNKNOWN)}, the best by {recipe['watch']} over the validation images. "
        f"The run is {facts.run.status(record)}."
    )
    hashes = record.get("teachers_sha256", [])
    if hashes:
        soft_targets = (
            f"{100 * recipe['distillation']:.0f}% of each image's target is the mean answer of {len(hashes)} models"
        )
        text += f" {soft_targets} that were trained on no other images; SHA-256 of their weights: {', '.join(hashes)}."
    versions = table(("part", "version"), [(name, f"`{value}`") for name, value in record["versions"].items()])
    settings = table(("setting", "value"), rows)
    return f"{text}\n\n{versions}\n\n<details><summary>Every setting</summary>\n\n{settings}\n\n</details>"


def _setting(value: object) -> str:
    return " to ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


STAGE_4 = "develop_baseline_model/models/convolutional_nn_pytorch.py"


# What has an option of its own in stage 4.
_OWN_OPTIONS = {"epochs": "--epochs", "fer_usage": "--fer-usage"}


def commands(record: Mapping[str, Any]) -> list[str] | None:
    """Stages 1 to 4, with every option and setting that is not the recipe's own.

    Args:
        record: Of a run of this pipeline.

    Returns:
        None where today's recipe of that name cannot be changed into the run's: only the recorded code makes it.
    """
    settings = record["settings"]
    wanted = Recipe.from_dict(settings["recipe"])
    named = RECIPES.get(wanted.name)
    if named is None:
        return None
    changes = _changes(named, wanted)
    if override(named, [f"{key}={value}" for key, value in changes.items()]) != wanted:
        return None
    stages = [STAGE_1, command(STAGE_2, settings["scheme"]["name"])]
    if settings["factors"]["fer_aug"] or settings["factors"]["ckp_aug"]:
        stages.append(command(STAGE_3, settings["scheme"]["name"]))
    options = " ".join(_options(settings, wanted, changes))
    return [f"python {stage}" for stage in (*stages, f"{STAGE_4} {options}")]


def _changes(named: Recipe, wanted: Recipe) -> dict[str, str]:
    keys = [key for key in setting_types(named) if _value(named, key) != _value(wanted, key)]
    return {key: _text(_value(wanted, key)) for key in keys}


def _value(recipe: Recipe, key: str) -> Any:
    part, dot, name = key.partition(".")
    content = getattr(recipe, part)
    if not dot:
        return content
    return content.get(name) if isinstance(content, Mapping) else getattr(content, name)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _options(settings: Mapping[str, Any], recipe: Recipe, changes: Mapping[str, str]) -> list[str]:
    options = ["--recipe", recipe.name]
    scheme = settings["scheme"]["name"]
    if scheme != recipe.scheme:
        # A user's own scheme is named by its file.
        options += ["--scheme", scheme if scheme in SCHEMES else f"{scheme}.toml"]
    defaults = {"fer": 1.0, "fer_aug": recipe.variants, "ckp": 1.0, "ckp_aug": recipe.variants}
    for factor, default in defaults.items():
        if settings["factors"][factor] != default:
            options += [f"--{factor.replace('_', '-')}", repr(settings["factors"][factor])]
    if settings["train_on"] != "FER":
        options += ["--train-on", settings["train_on"]]
    for key, value in changes.items():
        options += [_OWN_OPTIONS[key], value] if key in _OWN_OPTIONS else ["--set", f"{key}={value}"]
    options += ["--seed", str(settings["seed"]), "--threads", str(settings["threads"])]
    if settings["device"] != "auto":
        options += ["--device", settings["device"]]
    return [shlex.quote(option) for option in options]


# In the order in which the card names them.
_PUBLISHABLE = (
    *(CARD_NAME, "model.pth", "*.onnx", "*.safetensors", *FACELESS),
    *(f"{folder}/{name}" for folder, names in FACELESS_FINDINGS.items() for name in (*names, STAMP_NAME)),
)


def describe_files(facts: Facts) -> str:
    models = [path for pattern in ("*.pth", "*.onnx", "*.safetensors") for path in facts.run.folder.glob(pattern)]
    rows = [(f"`{path.name}`", bytes_of(path), f"`{hash_file(path)}`") for path in sorted(models)]
    return table(("file", "bytes", "SHA-256"), rows) + (
        "\n\n`model.pth` is the best epoch; it is read with `weights_only=True`, so that opening it runs no code."
    )


def describe_use(facts: Facts) -> str:
    predict = "baseline_model/model/predict_image_baselinemodel.py"
    lines = [
        f"python {predict} photo.jpg --model path/to/{facts.run.name}",
        f"python {SCRIPTS}/evaluate_model.py path/to/{facts.run.name} path/to/class/folders",
        f"python baseline_model/model/eval_model.py --model path/to/{facts.run.name}",
    ]
    return (
        "From a checkout of EmoTorch:\n\n" + code_block(lines) + "\n\nIn Python:\n\n" + code_block(_SNIPPET, "python")
    )


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


def describe_reproduction(facts: Facts) -> str:
    if not facts.settings:
        return "Unknown: the folder has no run.json."
    code = facts.record["versions"]["code"]
    lines = commands(facts.record)
    if lines is None:
        return f"The recipes of this version cannot be changed into this run's: check out `{code or UNKNOWN}`."
    threads = facts.settings["threads"]
    return (
        f"With FER-2013 (and what else the table of sets names) in `FER-Datasets/`, from commit `{code or UNKNOWN}`:"
        f"\n\n{code_block(lines)}\n\nEqual weights, bit for bit, need the same dataset (see its fingerprint), variants "
        f"of stage 3's default seed, {threads} thread(s), the same device and the same versions. The figures come from "
        f"these commands' files, and from:\n\n{code_block([f'python {SCRIPTS}/write_model_card.py {facts.run.name}'])}"
    )


def describe_terms(facts: Facts) -> str:
    parts = [LICENSE]
    if not facts.synthetic:
        parts.append(FER_TERMS if facts.train_on == FER.key else OTHER_TERMS)
    return "\n\n".join(parts)


def describe_publishable(facts: Facts) -> str:
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


SYNTHETIC = (
    "**Drawn faces.** This model was trained and scored on faces that a program drew. Its figures show that the "
    "pipeline works. They say nothing about real faces, and the model is of no use on them."
)


INTENDED_USE = """\
For research: on facial-expression recognition itself, on reproducing published systems, on calibration, robustness
and bias, and for teaching. It tells which of its labels people would most likely give to a picture of a face, cut out
and brought to grey pixels as its training images were."""


MISUSE = """\
- **An expression is not a feeling.** The labels are what annotators saw in photos, some of them posed. People smile
  without joy and are afraid without a sign of it, and how feelings show differs between people, situations and
  cultures (Barrett et al., "Emotional expressions reconsidered", 2019). The model must not be used to say what a
  person feels, intends, or is like.
- Not for decisions about people: hiring, grading, credit, insurance, policing, border control, health.
- Not for watching people who do not know of it or have not agreed.
- Not as a detector of lies, stress, attention, pain or illness: nothing of that kind was trained or tested."""


EU_AI_ACT = """\
In the European Union, Regulation (EU) 2024/1689 (the AI Act) applies to systems that infer emotions or intentions of
people from biometric data (Article 3(39)). This is a summary, not legal advice.

- **Prohibited**, Article 5(1)(f), since 2 February 2025: inferring emotions of people at the workplace and in
  education institutions, except for medical or safety reasons.
- **High-risk**, Article 6(2) with Annex III, point 1(c): as a rule, every other use for recognising emotions.
  Its providers and deployers have the duties of Chapter III: among others risk management, data governance,
  technical documentation, human oversight, accuracy and robustness. This model has not been through any such
  assessment.
- **Transparency**, Article 50(3): who deploys such a system must inform the people who are exposed to it, and
  process their data as the data-protection law demands.
- Systems developed and put into service only for scientific research are outside the Act (Article 2(6)); what is
  built with this model for other ends is not."""


LIMITS = """\
- One answer for every picture: there is no class for anything else. A face that is turned away, covered, badly lit,
  or no face at all gets an answer too, often with high confidence.
- A single picture without its situation. Nothing is learnt from movement, voice or words.
- The labels of the training data are noisy: people agree with those of FER-2013 in about 65% of the images
  (Goodfellow et al., 2013).
- Who the people in the training images are is not recorded. That the model serves all ages, skin colours and
  genders equally must be measured before it may be assumed.
- Figures of one run are one draw: another seed gives others."""


FER_TERMS = """\
FER-2013 (Goodfellow et al., "Challenges in representation learning: A report on three machine learning contests",
ICONIP 2013) was prepared by Pierre-Luc Carrier and Aaron Courville for a contest on Kaggle, from pictures that were
found by an image search. It is to be had there, under the contest's rules. The rights to the pictures, and those of
the people in them, are not the dataset's to give: do not publish any of its images, and take care that what is
derived from them stays within research. No image is part of this model's files that are listed for publishing
below; `image_usage.csv` names images by number and hash alone."""


OTHER_TERMS = "The datasets have their own terms, which bind whoever uses what is made from them: publish no faces."


LICENSE = """\
Code and weights: MIT, as far as they are ours to give. The terms of the training data stand beside it."""
