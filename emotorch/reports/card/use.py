"""A model's files and their use, in its card: commands, terms, what may be published."""

from emotorch.files import STAMP_NAME, hash_file
from emotorch.reports.card import texts as card_texts
from emotorch.reports.card.facts import CARD_NAME, Facts
from emotorch.reports.card.markdown import SCRIPTS, UNKNOWN, bytes_of, code_block, table
from emotorch.reports.card.reproduction import commands
from emotorch.runs import FACELESS, FACELESS_FINDINGS

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
    parts = [card_texts.LICENSE]
    if not facts.synthetic:
        parts.append(card_texts.FER_TERMS if facts.train_on == "fer" else card_texts.OTHER_TERMS)
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
