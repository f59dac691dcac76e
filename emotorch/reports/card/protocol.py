"""On what and how a model was trained, in its card."""

from emotorch.data.split import VALIDATION_SHARE
from emotorch.reports.card.facts import Facts, is_repeated, set_title, title_of, variant_counts
from emotorch.reports.card.markdown import UNKNOWN, table, words
from emotorch.runs import read_image_usage

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
    if facts.train_on == "fer":
        share = f"{100 * VALIDATION_SHARE:.0f}/{100 - 100 * VALIDATION_SHARE:.0f}"
        split = _FER_SPLITS[str(facts.fer_usage)].format(held_out=share)
    else:
        split = (
            f"{title_of(facts, facts.train_on)} trains. Its own split counts where it has one; else "
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
        taught = (
            f"{100 * recipe['distillation']:.0f}% of each image's target is the mean answer of {len(hashes)} models"
        )
        text += f" {taught} that were trained on no other images; SHA-256 of their weights: {', '.join(hashes)}."
    versions = table(("part", "version"), [(name, f"`{value}`") for name, value in record["versions"].items()])
    settings = table(("setting", "value"), rows)
    return f"{text}\n\n{versions}\n\n<details><summary>Every setting</summary>\n\n{settings}\n\n</details>"


def _setting(value: object) -> str:
    return " to ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
