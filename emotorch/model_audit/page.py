"""The page of a model's audit: verdict, scores, faults, and how it was read."""

import numpy as np
import pandas as pd
from markupsafe import Markup

from emotorch.metrics.confusion import row_proportions
from emotorch.model_audit.audit import Audit, training_line
from emotorch.model_audit.inputs import SCALING_TITLES, trials_table
from emotorch.model_audit.scores import SetAudit
from emotorch.reports.page import Fact, Section, matrix, pairs, render, sentences, table, text
from emotorch.reports.rendering import class_table
from emotorch.runs.confusion import Matrix
from emotorch.tables import Table, counted


def audit_page(found: Audit) -> str:
    """The page as HTML."""
    serious = [fault for fault in found.faults if fault.serious]
    main = found.sets[0].main
    facts = [
        Fact("Accuracy", f"{main.accuracy:.2%}", f"{main.title}; 95% interval {main.percents}"),
        Fact("Faults", str(len(serious)), ", ".join(fault.name for fault in serious) or "none found"),
        Fact("An image takes", f"{found.latency_ms:.2f} ms", "median"),
    ]
    if found.claim is not None:
        facts.insert(0, Fact("Claim", f"{found.claim:.2%}", "holds" if found.holds else "does not hold"))
    if found.size:
        millions = f"{found.size.multiply_adds / 1e6:,.1f} million multiply-adds"
        facts.append(Fact("Parameters", f"{found.size.parameters:,}", millions))
    sections = [
        Section("verdict", "Verdict", [_verdict(found)]),
        *(Section(scored.name, scored.title, _scores(found, scored)) for scored in found.sets),
        Section("reading", "How the model was read", _reading(found)),
    ]
    reasons = ["the claim does not hold"] if found.holds is False else []
    reasons += [f"fault: {fault.name.replace('_', ' ')}" for fault in serious]
    warning = "" if found.passed else f"This audit failed: {'; '.join(reasons)}."
    return render(f"Audit of {found.name}", f"{found.path.name}, SHA-256 {found.sha256}", facts, sections, warning)


def _verdict(found: Audit) -> Markup:
    lines = [found.verdict] if found.verdict else []
    lines += [f"{fault.name.replace('_', ' ').capitalize()}: {fault.text}." for fault in found.faults]
    lines = lines or ["No claim was made, and no fault was found."]
    return sentences(lines + ([training_line(found.training) + "."] if found.training else []))


def _scores(found: Audit, scored: SetAudit) -> list[Markup]:
    rows = [(score.title, score.images, 100 * score.accuracy, score.percents) for score in scored.protocols]
    frame = pd.DataFrame(rows, columns=["images", "n", "accuracy %", "95% interval"])
    labels = [*found.scheme.labels, "other"][: len(scored.counts)]
    proportions = np.asarray(row_proportions(scored.counts)).tolist()
    parts = [
        table(Table(frame, {"n": "{:,}", "accuracy %": "{:.2f}"})),
        *map(text, (f"{note}." for note in scored.notes)),
        text(f"Macro-F1 {scored.macro_f1:.2f}%; expected calibration error {scored.ece:.2%}."),
        table(class_table(scored.counts.tolist(), labels)),
        matrix(Matrix(tuple(labels), proportions, scored.counts.tolist()), scored.title),
    ]
    if scored.robustness:
        errors = pd.DataFrame({"corruption": list(scored.robustness), "mean error %": list(scored.robustness.values())})
        parts.append(table(Table(errors, {"mean error %": "{:.1f}"})))
    return parts


def _reading(found: Audit) -> list[Markup]:
    reading = found.reading
    values = {
        "image": f"{reading.size}×{reading.size} pixels, {counted(reading.channels, 'channel')}",
        "values": SCALING_TITLES.get(reading.scaling, reading.scaling),
        "classes": f"{', '.join(reading.classes.names)} ({reading.classes.source})",
        "stated": " and ".join(found.stated) or "nothing",
    }
    caption = f"What other readings score on {found.tried_on}, on which the reading was chosen."
    return [pairs(values), table(trials_table(found.trials), caption=caption)]
