"""The documents name what is there: files, scripts, recipes, schemes, and their numbers."""

import re
from pathlib import Path

import pytest
from running import TRAIN, call_script

from emotorch.labels import SCHEMES
from emotorch.overrides import setting_types
from emotorch.paths import REPOSITORY, Paths
from emotorch.recipes import RECIPES, get_recipe

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
RECIPES_PAGE = (REPOSITORY / "docs" / "recipes.md").read_text(encoding="utf-8")
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CHANGELOG.md",
    REPOSITORY / "FER-Datasets" / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
]
SCRIPTS = [
    path
    for folder in ("develop_baseline_model", "baseline_model/model")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
]


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_scripts_that_are_named_with_their_folder_are_there(page: Path) -> None:
    for name in re.findall(r"\b((?:develop_baseline_model|baseline_model|benchmarks)/[\w/]+\.py)", page.read_text()):
        assert (REPOSITORY / name).is_file(), name


def test_the_readme_fits_a_screen_and_every_script_is_in_it_or_in_the_documents() -> None:
    assert len(README.splitlines()) <= 90
    everything = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert not {script.name for script in SCRIPTS if script.name not in everything}


@pytest.mark.slow
def test_recipes_stand_in_their_table_as_the_script_lists_them(paths: Paths) -> None:
    done = call_script(paths, TRAIN, "--list-recipes")
    listed = {line.split()[0]: line.split() for line in done.stdout.splitlines()[1:]}
    assert set(listed) == set(RECIPES)
    for name, cells in listed.items():
        row = next(line for line in RECIPES_PAGE.splitlines() if line.startswith(f"| `{name}`"))
        assert f"| {cells[1]} |" in row
        assert f"| `{RECIPES[name].scheme}` | {cells[5]} |" in row


def test_label_schemes_stand_in_their_table() -> None:
    for scheme in SCHEMES.values():
        row = next(line for line in RECIPES_PAGE.splitlines() if line.startswith(f"| `{scheme.name}`"))
        assert f"| {', '.join(scheme.labels)} |" in row


def test_every_field_of_a_recipe_is_named() -> None:
    fields = {name for name in setting_types(get_recipe("compact")) if not name.startswith("network_config.")}
    fields -= {"network", "scheme", "normalization"}
    named = set(re.findall(r"`(?:augmentation\.)?(\w+)`", RECIPES_PAGE))
    assert not {field for field in fields if field.removeprefix("augmentation.") not in named}
