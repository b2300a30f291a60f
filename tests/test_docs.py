"""The documentation is true: its blocks run, its generated pages are what the code says, its links lead somewhere."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd
import pytest
import typer.main
import yaml
from typer.testing import CliRunner

import salign
from salign.cli import app
from salign.config import merge
from salign.data.manifest import Manifest
from salign.data.manifest.sources import SOURCES
from salign.data.shortcuts.decoy import write_decoy_digits
from salign.train.recipe import Recipe

REPOSITORY = Path(__file__).parents[1]
GUIDE = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
TUTORIALS = sorted((REPOSITORY / "docs" / "tutorials").glob("*.md"))
REFERENCE = sorted((REPOSITORY / "docs" / "reference").glob("*.md"))
PAGES = [*GUIDE, *TUTORIALS, REPOSITORY / "benchmarks" / "README.md", *REFERENCE]
RUN = "runs/faces-1a2b3c4d"
LONG = ("step-by-step.md", "training.md", "experiments.md")
"""Pages whose commands train longest."""
SHELL = ("sed", "cat")
"""Other commands than `salign` that a block may use."""


class Block(NamedTuple):
    language: str
    info: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(one[1], one[2], one[3], text[: one.start()].count("\n") + 1) for one in found]


def name_of(page: Path) -> str:
    return page.relative_to(REPOSITORY).as_posix()


# --- Generated pages and links -----------------------------------------------------------------------------------


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", REPOSITORY / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_what_the_code_says() -> None:
    made = generator().pages()
    committed = {path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "docs/reference").glob("*.md")}
    assert set(made) == set(committed)
    stale = [name for name in made if made[name] != committed[name]]
    assert not stale, f"{stale} differ from the code: run `make docs` and commit"


def test_every_public_name_is_in_the_reference() -> None:
    text = (REPOSITORY / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    assert [name for name in salign.__all__ if f"| `salign.{name}` |" not in text] == []


def test_every_command_is_in_the_reference() -> None:
    text = (REPOSITORY / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    root = typer.main.get_command(app)
    assert [name for name in root.commands if f"## salign {name}" not in text] == []  # type: ignore[attr-defined]


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    plain = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"`[^`\n]*`", "", prose)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(target)
    assert broken == []


def test_every_guide_page_is_reachable_from_the_readme() -> None:
    readme = GUIDE[0].read_text(encoding="utf-8")
    assert [name_of(page) for page in [*GUIDE[1:], *TUTORIALS] if f"({name_of(page)})" not in readme] == []


def test_the_readme_is_short() -> None:
    assert len(GUIDE[0].read_text(encoding="utf-8").split()) < 700


# --- Blocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_run_or_says_that_it_is_not(page: Path) -> None:
    known = {"python": {"", "no-run"}, "sh": {"", "no-run"}, "csv": {""}, "text": {""}, "bibtex": {""}}
    for block in blocks(page):
        if block.language == "yaml":
            assert block.info == "" or block.info.startswith("file="), f"line {block.line}"
        else:
            assert block.info in known.get(block.language, set()), f"line {block.line}: ```{block.language}"


@pytest.mark.parametrize("recipe", sorted((REPOSITORY / "recipes").rglob("*.yaml")), ids=name_of)
def test_the_commands_in_a_recipe_are_commands(recipe: Path) -> None:
    found = re.findall(r"^#.*?\bsalign (.+)$", recipe.read_text(encoding="utf-8"), re.MULTILINE)
    assert found, "a recipe says how it is run"
    for line in found:
        command: Any = typer.main.get_command(app)
        words = shlex.split(line, comments=True)
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(command.name, [*words])  # refuses what the command does not know
        if command.name == "import":
            assert words[0] in SOURCES


@pytest.fixture(scope="session")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sets that the pages speak of, in every layout, and one trained run."""
    folder = tmp_path_factory.mktemp("docs")
    digits = write_decoy_digits(folder / "digits", train=200, val=100, test=100)
    table = pd.read_csv(digits, dtype=str)
    table = table[table["label"].isin(["3", "8"]) & (table["split"] != "test_ood")]
    rows = []
    for k, (_, row) in enumerate(table.iterrows()):
        split, label = row["split"].removesuffix("_iid"), {"3": "real", "8": "fake"}[row["label"]]
        image, human = digits.parent / row["path"], digits.parent / row["saliency"]
        name = f"{split}/{label}/{k:03d}.png"
        mapped = split == "train" and k % 4 > 0
        copy(image, folder / "photos" / name)
        copy(image, folder / "set/images" / name)
        copy(image, folder / "und/images" / name)
        if mapped:
            copy(human, folder / "marks" / name)
            copy(human, folder / "set/masks" / name)
            copy(human, folder / "und/heatmaps" / Path(name).name)
        mask = f"masks/{name}" if mapped else ""
        camera, kind = ("phone", "webcam")[k % 2], "" if label == "real" else ("print", "replay")[k // 2 % 2]
        rows.append((split, label, f"images/{name}", mask, camera, kind))
    index = pd.DataFrame(rows, columns=["split", "class", "path", "mask", "camera", "kind"])
    index.to_csv(folder / "set/index.csv", index=False)
    named = index.assign(saliency=index["mask"], label=index["class"], id=index["path"])
    manifest = Manifest.of(named.drop(columns=["mask", "class"]), folder / "set").write(folder / "set/manifest.csv")
    lines = "test," + index["class"] + "," + index["path"].str.removeprefix("images")
    training = index["split"] == "train"
    write(folder / "und/train.csv", [*lines[training].str.replace("test,", "train,"), *lines[index["split"] == "val"]])
    write(folder / "und/test.csv", lines[index["split"] == "test"])
    recipe = Recipe.build(
        {
            "name": "faces",
            "data": {"manifest": str(manifest), "image_size": 64, "classes": ["real", "fake"], "workers": 0},
            "model": {"backbone": "test_resnet", "weights": None, "output_stride": 8},
            "train": {"epochs": 1, "precision": "float32", "memory_format": "contiguous"},
        }
    )
    trained = salign.fit(recipe, folder / "trained", progress=False, say=lambda line: None)
    (folder / RUN).parent.mkdir()
    trained.path.rename(folder / RUN)
    return folder


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def write(path: Path, lines: object) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))  # type: ignore[attr-defined]


@pytest.fixture
def workplace(sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy to work in; a page that trains its own runs finds no other."""
    for name in ("photos", "marks", "set", "und", "runs"):
        shutil.copytree(sets / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.long] * (page.name in LONG), id=name_of(page)) for page in GUIDE],
)
def test_the_blocks_of_a_page_run_in_order(page: Path, workplace: Path) -> None:
    if page.name in ("step-by-step.md", "getting-started.md"):
        shutil.rmtree(workplace / "runs")
    names: dict[str, object] = {"__name__": "page"}
    everything = blocks(page)
    for block in everything:  # files first: a page may show a command above the file that it reads
        if block.info.startswith("file="):
            (workplace / block.info.removeprefix("file=")).write_text(block.text)
    for block in everything:
        place = f"{name_of(page)} line {block.line}"
        if block.info == "no-run":
            continue
        if block.language == "python":
            exec(compile(block.text, place, "exec"), names)
        elif block.language == "sh":
            for line in block.text.replace("\\\n", " ").splitlines():
                run_line(line, place)
        elif block.language == "yaml" and not block.info:
            Recipe.build(merge({"name": "part", "data": {"manifest": "manifest.csv"}}, yaml.safe_load(block.text)))


def expanded(word: str) -> list[str]:
    return sorted(str(path) for path in Path().glob(word)) or [word] if "*" in word else [word]


def run_line(line: str, place: str) -> None:
    """A line as a shell would run it: `salign` in this process, the few others in bash."""
    words = [name for word in shlex.split(line, comments=True) for name in expanded(word)]
    if words and words[0] == "salign":
        done = CliRunner().invoke(app, words[1:])
        assert done.exit_code == 0, f"{place}: {line}\n{done.output}\n{done.exception!r}"
    elif words:
        assert words[0] in SHELL, f"{place}: {line}"
        subprocess.run(["bash", "-euc", line], check=True)
