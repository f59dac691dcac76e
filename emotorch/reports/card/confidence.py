"""How far a model's confidences can be believed, in its card."""

from emotorch.reports.card.facts import Facts, set_title, title_of
from emotorch.reports.card.markdown import DASH, SCRIPTS, missing, table
from emotorch.reports.card.scores import QUESTION as SCORES


def describe_confidence(facts: Facts) -> str:
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
        command = f"{SCRIPTS}/write_model_card.py {facts.run.name}"
        return "\n\n".join([*parts, missing("The calibration is not measured: the images were not there", command)])
    rows = []
    for name, scored in found.items():
        reliability = scored["reliability"]
        before, after, crossed = reliability["before"], reliability["after"], reliability["crossed"]
        honest = f"{crossed['ece']:.2%}" if crossed else DASH
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


def _measured_title(facts: Facts, name: str) -> str:
    if name == "fer-public":
        return f"{title_of(facts, 'fer')}, PublicTest"
    return set_title(facts, name.removesuffix("_val"))
