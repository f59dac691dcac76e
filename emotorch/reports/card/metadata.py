"""The front matter of a model card: metadata in the format of Hugging Face's model cards.

Source: the specification in `huggingface_hub` (`modelcard_template.md`, "Model card metadata"). It is YAML, of which
JSON's texts and numbers are a part: so nothing needs more than quotes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """A model's figures on one set of images.

    Attributes:
        dataset: Its name for a person.
        kind: Its name for a program: `fer2013`, …
        split: Which part.
        metrics: Values by the metric's name: `accuracy`, `f1`, …; 0 to 1.
    """

    dataset: str
    kind: str
    split: str
    metrics: Mapping[str, float]


# What the metrics are called for a person.
_METRIC_NAMES = {"accuracy": "Accuracy", "f1": "Macro-F1", "expected_calibration_error": "Expected calibration error"}


def front_matter(name: str, tags: Sequence[str], datasets: Sequence[str], results: Sequence[Result]) -> str:
    """The metadata between its two lines of dashes."""
    metadata: dict[str, object] = {
        "license": "mit",
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": list(tags),
    }
    if datasets:
        metadata["datasets"] = list(datasets)
    if results:
        metadata["metrics"] = list(dict.fromkeys(metric for result in results for metric in result.metrics))
        metadata["model-index"] = [{"name": name, "results": list(map(_as_plain, results))}]
    return "\n".join(["---", *_lines(metadata), "---"])


def _as_plain(result: Result) -> dict[str, object]:
    return {
        "task": {"type": "image-classification", "name": "Facial emotion recognition"},
        "dataset": {"name": result.dataset, "type": result.kind, "split": result.split},
        "metrics": [
            {"type": metric, "value": round(value, 4), "name": _METRIC_NAMES[metric]}
            for metric, value in result.metrics.items()
        ],
    }


def _lines(value: object) -> list[str]:
    """A value as the lines of a YAML block."""
    if isinstance(value, Mapping):
        found: list[str] = []
        for key, content in value.items():
            inner = _lines(content)
            if isinstance(content, Mapping | list):
                found += [f"{key}:", *(f"  {line}" for line in inner)]
            else:
                found.append(f"{key}: {inner[0]}")
        return found
    if isinstance(value, list):
        items = (_lines(item) for item in value)
        return [("- " if place == 0 else "  ") + line for item in items for place, line in enumerate(item)]
    return [json.dumps(value, ensure_ascii=False)]
