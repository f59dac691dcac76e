import ast
import contextlib
import json
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from conftest import TRAINED_WITH, draw_images
from published import published_state, write_run
from running import MODELS, TRAIN, Trained, accept, call_script, error_line, last_line, read_table

from emotorch.analyses import analyses, robustness
from emotorch.data.images import write_png
from emotorch.data.selection import DatasetIndex, Factors, select
from emotorch.experiment import train
from emotorch.experiment.settings import Settings
from emotorch.files import hash_file, write_csv
from emotorch.labels import get_scheme
from emotorch.metrics.intervals import wilson_interval
from emotorch.overrides import override
from emotorch.paths import Paths
from emotorch.recipes import RECIPES
from emotorch.reports.card.model_card import front_matter
from emotorch.reports.card.results import Accuracy, ScoredSet
from emotorch.reports.rendering import code
from emotorch.reports.reproduction import commands
from emotorch.runs.folder import Run
from emotorch.runs.usage import write_image_usage

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("undrawn")]

CARD = f"{MODELS}/write_model_card.py"


def write_card(model: Trained, *options: object) -> str:
    done = call_script(model.paths, CARD, model.folder.name, "--threads", 1, *options)
    assert Path(last_line(done)) == model.folder / "README.md"
    return (model.folder / "README.md").read_text()


def section(card: str, title: str) -> str:
    return card.split(f"\n## {title}\n")[1].split("\n## ")[0]


def metadata(card: str) -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    _, front, _ = card.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(front)
    return found


def table(text: str) -> list[dict[str, str]]:
    """The first Markdown table of a text."""
    lines = text[text.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]


# --- The card of a run --------------------------------------------------------------------------------------


def test_the_metadata_are_yaml_with_the_run_s_own_figures(ours: Trained) -> None:
    found = metadata(write_card(ours))
    assert found["license"] == "mit"
    assert found["pipeline_tag"] == "image-classification"
    assert found["datasets"] == ["fer2013"]
    (model,) = found["model-index"]
    assert model["name"] == ours.folder.name
    scores = Run(ours.folder).record["scores"]
    by_split = {result["dataset"]["split"]: result for result in model["results"]}
    assert by_split.keys() == {"validation-images", "held-out-originals", "all-originals"}
    values = {metric["type"]: metric["value"] for metric in by_split["held-out-originals"]["metrics"]}
    assert values["accuracy"] == pytest.approx(scores["fer_reference"]["accuracy"] / 100, abs=5e-5)
    assert values["f1"] == pytest.approx(scores["fer_reference"]["macro_f1"] / 100, abs=5e-5)
    assert set(found["metrics"]) == {"accuracy", "f1", "expected_calibration_error"}


def test_hugging_face_s_own_library_reads_the_card(ours: Trained) -> None:
    library = pytest.importorskip("huggingface_hub")
    card = library.ModelCard(write_card(ours))
    assert card.data.license == "mit"
    results = card.data.eval_results
    assert {result.dataset_type for result in results} == {"fer2013", "ck-plus"}
    assert {result.metric_type for result in results} == {"accuracy", "f1", "expected_calibration_error"}
    assert all(0 <= result.metric_value <= 1 for result in results)


def test_every_score_has_its_number_of_images_and_its_interval(ours: Trained) -> None:
    card = write_card(ours)
    scores = Run(ours.folder).record["scores"]
    rows = {row["images"]: row for row in table(section(card, "Results"))}
    for title, name in (
        ("FER-2013, validation images", "fer"),
        ("FER-2013, held-out originals", "fer_reference"),
        ("CK+, validation images", "ckp"),
        ("CK+, all originals", "ckp_reference"),
    ):
        row, score = rows[title], scores[name]
        low, high = wilson_interval(round(score["accuracy"] * score["images"] / 100), score["images"])
        assert row["n"] == f"{score['images']:,}"
        assert row["accuracy %"] == f"{score['accuracy']:.2f}"
        assert row["95% interval"] == f"{low:.2f}–{high:.2f}"
        assert "chose the epoch" in row["what they are"]
    assert "no test of anything" in section(card, "Results")
    assert "PrivateTest has not been scored" in section(card, "Results")


def test_the_calibration_is_measured_once_for_the_same_weights_and_data(ours: Trained) -> None:
    card = write_card(ours)
    findings = ours.folder / "scores" / "findings.json"
    sets = {found["name"]: found for found in json.loads(findings.read_text())["sets"]}
    assert sets.keys() == {"fer_val", "ckp_val"}
    reliability = sets["fer_val"]["reliability"]
    said = section(card, "Calibration")
    for kind in ("before", "after", "crossed"):
        assert f"{reliability[kind]['ece']:.2%}" in said
    assert "scores/reliability_fer_val.png" in said
    assert (ours.folder / "scores" / "reliability_fer_val.png").is_file()
    written = findings.stat().st_mtime_ns
    assert write_card(ours) == card
    assert findings.stat().st_mtime_ns == written
    assert write_card(ours, "--force").split("## Files")[0] == card.split("## Files")[0]
    assert findings.stat().st_mtime_ns > written


def test_without_the_images_the_card_keeps_what_was_measured_or_says_that_nothing_was(ours: Trained) -> None:
    shutil.rmtree(ours.paths.originals)
    assert "Not measured" in section(write_card(ours), "Calibration")
    assert "expected_calibration_error" not in metadata(write_card(ours))["metrics"]


def test_what_no_analysis_found_is_named_with_its_command(ours: Trained) -> None:
    card = write_card(ours)
    for analysis in analyses():
        found = section(card, analysis.title)
        assert (f"Not measured: run `{analysis.command(ours.folder.name)}`" in found) == (analysis.name != "scores")
    assert f"`python {MODELS}/analyze_fairness.py {ours.folder.name} --attributes CSV`" in card


def test_robustness_is_a_table_of_accuracies_by_corruption_and_severity(ours: Trained) -> None:
    call_script(ours.paths, f"{MODELS}/measure_robustness.py", ours.folder, "--threads", 1)
    title = robustness.ANALYSIS.title
    said = section(write_card(ours), title)
    rows = table(said)
    assert (rows[0]["corruption"], rows[0]["strength"]) == ("blur", "Gaussian blur, σ in pixels")
    assert len(rows) == 8
    scores = read_table(ours.folder / "robustness" / "robustness.csv")
    measured = [float(row["accuracy"]) for row in scores if row["severity"] != "0"]
    shown = [float(row[str(severity)]) for row in rows for severity in range(1, 6)]
    assert shown == pytest.approx(measured, abs=0.051)
    assert re.search(r"mean error over all corruptions \d+\.\d\d% \(95% interval ", said)
    assert "`corruption_errors.csv`" in said
    assert "(robustness/robustness_curves.png)" in said
    assert "corruptions.png)" not in said, "it shows faces"
    stamp = ours.folder / "robustness" / "stage.json"
    stamp.write_text(stamp.read_text().replace(hash_file(ours.folder / "model.pth"), "other weights"))
    assert "Not measured" in section(write_card(ours), title)


def test_publictest_is_scored_where_it_is_unseen_with_its_twins(ours: Trained) -> None:
    run = Run(ours.folder)
    record = run.record
    record["settings"]["recipe"]["fer_usage"] = "training"
    run.update(settings=record["settings"])
    index = DatasetIndex.load(ours.paths, get_scheme("emotorch4"))
    write_image_usage(
        ours.folder / "image_usage.csv", select(index, Factors(), fer_usage="training", seed=record["seed"])
    )
    accept(ours.folder)
    card = write_card(ours)
    rows = {row["images"]: row for row in table(section(card, "Results"))}
    public = rows["FER-2013, PublicTest"]
    assert public["what they are"].startswith("unseen")
    said = call_script(ours.paths, f"{MODELS}/evaluate_model.py", ours.folder.name, "fer-public", "--threads", 1).stdout
    assert f"{public['n']} images, accuracy {public['accuracy %']}%" in said
    twins = next(line for line in said.splitlines() if "twin" in line)
    assert twins in card
    assert "FER-2013, PublicTest:" in section(card, "Predictions by class")


def test_selection_on_publictest_and_looks_at_privatetest_are_said(ours: Trained) -> None:
    run = Run(ours.folder)
    record = run.record
    record["settings"]["recipe"]["fer_usage"] = "official"
    without = {"fer": {**record["scores"]["fer"], "images": record["scores"]["fer"]["images"] - 5}}
    looks = [{"time": "2026-11-20T19:03:12+00:00", "images": 200, "correct": 110}]
    run.update(settings=record["settings"], without_twins=without, private_scorings=looks)
    results = section(write_card(ours), "Results")
    rows = {row["images"]: row["what they are"] for row in table(results)}
    assert "a score of selection" in rows["FER-2013, PublicTest as drawn, with variants"]
    assert "chose the epoch" in rows["FER-2013, PublicTest"]
    low, high = wilson_interval(110, 200)
    assert f"2026-11-20T19:03:12+00:00: 55.00% (95% interval {low:.2f}–{high:.2f}, n 200)" in results
    assert "5 of the" in results
    assert "exact twin in training" in results


def test_the_models_that_a_model_learned_from_are_said(ours: Trained) -> None:
    run = Run(ours.folder)
    assert "mean prediction of" not in write_card(ours)
    settings = run.record["settings"]
    settings["recipe"] |= {"teachers": "a,b", "distillation": 0.6}
    run.update(settings=settings, teachers_sha256=["1" * 64, "2" * 64])
    card = write_card(ours)
    assert "60% of each image's target is the mean prediction of 2 models" in card
    assert f"{'1' * 64}, {'2' * 64}" in card
    assert "--set teachers=a,b" in card


def test_a_reference_set_that_is_the_validation_set_is_no_second_result(ours: Trained) -> None:
    run = Run(ours.folder)
    record = run.record
    record["settings"]["recipe"]["fer_usage"] = "official"
    for part in ("scores", "counts"):
        record[part]["fer"] = record[part]["fer_reference"]
    run.update(**record)
    usage = read_table(ours.folder / "image_usage.csv")
    originals = [row for row in usage if "Augmented" not in row["image_path"]]
    write_csv(ours.folder / "image_usage.csv", list(usage[0]), [list(row.values()) for row in originals])
    accept(ours.folder)
    card = write_card(ours)
    titles = [row["images"] for row in table(section(card, "Results"))]
    assert [title for title in titles if "FER" in title] == ["FER-2013, PublicTest"]
    assert [row["set"] for row in table(section(card, "Data and protocol")) if "FER" in row["set"]] == titles[:1]


def test_a_card_of_synthetic_faces_says_so_first(ours: Trained) -> None:
    run = Run(ours.folder)
    run.update(dataset={**run.record["dataset"], "synthetic": True}, collapsed=False, never_answered=["fear"])
    card = write_card(ours)
    assert card.index("**Synthetic faces.**") < card.index("## Results")
    assert "never predicts fear" in card
    found = metadata(card)
    assert "datasets" not in found
    assert "synthetic-data" in found["tags"]
    assert {result["dataset"]["type"] for result in found["model-index"][0]["results"]} == {"synthetic-faces"}
    assert "Pierre-Luc Carrier" not in card


def test_the_files_to_publish_are_there_and_hold_no_face(ours: Trained) -> None:
    listed = re.findall(r"^- `(.+)`$", section(write_card(ours), "Publishable files"), re.MULTILINE)
    assert {"README.md", "model.pth", "run.json", "scores/reliability_fer_val.png"} <= set(listed)
    assert all((ours.folder / name).is_file() for name in listed)
    assert not [name for name in listed if "samples" in name or "misclassified" in name]
    links = re.findall(r"!\[.*?\]\((.+?)\)", (ours.folder / "README.md").read_text())
    assert links
    assert set(links) <= set(listed), "a picture of the card would be missing"


def test_the_card_states_intended_use_misuse_and_the_law(ours: Trained) -> None:
    card = write_card(ours)
    for words in (
        "Article 5(1)(f)",
        "Annex III",
        "Article 50(3)",
        "(EU) 2024/1689",
        "not a feeling",
        "medical or safety",
    ):
        assert words in card


def test_a_published_folder_gets_a_card_that_says_what_is_unknown(paths: Paths) -> None:
    folder = write_run(paths.models / "model_00224_final")
    torch.save(published_state(), folder / "model.pth")
    card = write_card(Trained(paths, folder))
    assert "**In the published format.**" in card
    rows = {row["images"]: row for row in table(section(card, "Results"))}
    assert rows["FER-2013, validation images"]["accuracy %"] == "51.29"
    assert rows["FER-2013, validation images"]["n"] == rows["FER-2013, validation images"]["95% interval"] == "unknown"
    assert "| anger | 66.1 | 15.6 | 13.5 | 4.8 |" in section(card, "Predictions by class")
    for title in ("Data and protocol", "Training", "Reproduction"):
        assert section(card, title).strip().startswith("Unknown")
    assert "states no temperature" in section(card, "Calibration")
    assert "model-index" not in metadata(card), "a score of an unknown number of images is no result"


def test_a_model_without_weights_is_refused(paths: Paths) -> None:
    write_run(paths.models / "model_00224_final")
    assert "model.pth" in error_line(call_script(paths, CARD, "model_00224_final"))
    assert not (paths.models / "model_00224_final" / "README.md").exists()


# --- The commands -------------------------------------------------------------------------------------------


def settings_of(command: str, paths: Paths) -> Settings:
    """What stage 4 makes of a command."""
    python, script, *options = shlex.split(command)
    assert (python, script) == ("python", TRAIN)
    with patch.object(train, "train_new") as train_new:
        train_new.return_value = Run(paths.root)
        (paths.root / "classification_report.txt").touch()  # of which stage 4 prints what it says
        assert call_script(paths, script, *options).returncode == 0
    found: Settings = train_new.call_args.args[1]
    return found


def record_of(settings: Settings) -> Mapping[str, Any]:
    """As run.json has it."""
    return {"settings": json.loads(json.dumps(settings.as_dict()))}


@pytest.mark.parametrize(
    "settings",
    [
        Settings(RECIPES["emotorch"], get_scheme("emotorch4"), Factors(), seed=3, threads=2),
        Settings(
            RECIPES["emotorch"],
            get_scheme("emotorch4"),
            Factors(0.9269355411049678, 0.08304724933602169, 0.9150066661434338, 0.028726517650618323),
            train_on="CKP",
        ),
        Settings(
            override(RECIPES["compact"], ["epochs=7", "fer_usage=search", "variants=0.25", "precision=float32"]),
            get_scheme("emotorch4"),
            Factors(fer_aug=0.25, ckp_aug=0.25),
            device="cpu",
        ),
        Settings(
            override(
                RECIPES["shared_cnn"],
                [
                    "augmentation.scale=0.8,1.25",
                    "network_config.dropout=0.3",
                    "class_weights=true",
                    "learning_rate=3e-5",
                ],
            ),
            get_scheme("seven"),
            Factors(fer_aug=0, ckp_aug=0.5),
        ),
    ],
    ids=["default", "of a sweep", "options", "settings"],
)
def test_the_commands_make_the_very_settings_again(settings: Settings, paths: Paths) -> None:
    settings = replace(settings, threads=2)
    made = commands(record_of(settings))
    assert made is not None
    assert settings_of(made[-1], paths) == settings
    assert any("augment_original_dataset" in line for line in made) == bool(
        settings.factors.fer_aug or settings.factors.ckp_aug
    )
    seven = settings.scheme.name == "seven"
    assert all(("--scheme seven" in line) == seven for line in made[1:-1])


def test_a_trained_run_s_commands_are_those_that_made_it(trained: Trained) -> None:
    record = Run(trained.folder).record
    made = commands(record)
    assert made is not None
    assert f"--set {TRAINED_WITH[-1]}" in made[-1]
    assert replace(settings_of(made[-1], trained.paths), checkpoint_every_s=120.0) == Settings.from_record(record)


def test_a_recipe_that_no_command_makes_gives_none(trained: Trained) -> None:
    record = Run(trained.folder).record
    recipe = record["settings"]["recipe"]
    assert commands({"settings": {**record["settings"], "recipe": {**recipe, "name": "of_another_version"}}}) is None
    wider = {**recipe, "network_config": {**recipe["network_config"], "depth": 3}}
    assert commands({"settings": {**record["settings"], "recipe": wider}}) is None


# --- The metadata -------------------------------------------------------------------------------------------


def test_any_name_survives_the_metadata() -> None:
    yaml = pytest.importorskip("yaml")
    name = 'a: "b" #c\\ – ü %&*!|>{}[]<i>\x85\u2028'
    text = front_matter(name, [name, "yes", "1e3"], [], [ScoredSet(name, "null", "no", "", Accuracy(50.0, 4))])
    assert text.startswith("---\n")
    assert "ü" in front_matter("ü", [], [], [ScoredSet("ü", "", "", "", Accuracy(50.0, 4))])
    found = yaml.safe_load(text.removesuffix("---\n").removeprefix("---\n"))
    assert found["tags"] == [name, "yes", "1e3"]
    (model,) = found["model-index"]
    assert model["name"] == name
    assert model["results"][0]["dataset"] == {"name": name, "type": "null", "split": "no"}
    assert model["results"][0]["metrics"] == [{"type": "accuracy", "value": 0.5, "name": "Accuracy"}]


def test_any_name_survives_the_markdown(ours: Trained) -> None:
    markdown = pytest.importorskip("markdown")
    run = Run(ours.folder)
    name = "a|b *c* [d](e) <i>f</i> `g` &amp; __h__ i_j"
    run.update(device=name)
    html = markdown.markdown(write_card(ours).split("---\n", 2)[2], extensions=["tables"])
    assert f" on {escape(name, quote=False)} with " in html.replace("\n", " ")
    folder = ours.folder.rename(ours.folder.with_name("model_a b|c"))
    card = write_card(Trained(ours.paths, folder))
    assert card.count("model_a b|c'") == 4, "quoted for the shell"
    assert "\n# model_a b\\|c (emotorch)\n" in card


@pytest.mark.parametrize("value", ["plain", "a`b", "``", "`a`"])
def test_code_is_code_whatever_is_in_it(value: str) -> None:
    markdown = pytest.importorskip("markdown")
    cell = markdown.markdown(f"| h |\n| --- |\n| {code(value)} |", extensions=["tables"])
    assert f"<td><code>{value}</code></td>" in cell


def test_the_python_of_the_card_runs(ours: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snippet = write_card(ours).split("```python\n")[1].split("```")[0]
    (tmp_path / "path" / "to").mkdir(parents=True)
    (tmp_path / "path" / "to" / ours.folder.name).symlink_to(ours.folder)
    write_png(tmp_path / "photo.jpg", draw_images(1, seed=3)[0])
    with contextlib.chdir(tmp_path):
        exec(compile(snippet, "card", "exec"), {})
    emotion, _, probabilities = capsys.readouterr().out.partition(" ")
    found = ast.literal_eval(probabilities)
    assert emotion == max(found, key=found.get)
    assert list(found) == list(get_scheme("emotorch4").labels)
    assert sum(found.values()) == pytest.approx(1, abs=1e-5)


def test_the_usage_table_is_what_the_card_counts(ours: Trained) -> None:
    rows = read_table(ours.folder / "image_usage.csv")
    variants = sum(row["usage"] == "fer_validation" and "_" in Path(row["image_path"]).stem for row in rows)
    assert variants
    assert f"{variants:,} of fer validation" in section(write_card(ours), "Data and protocol")
