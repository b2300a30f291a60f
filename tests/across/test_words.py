"""Docstrings and the reference speak in sentences: a reader of one line has no line before it to complete."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src" / "salign"
REFERENCE = REPOSITORY / "docs" / "reference"

VERBS = frozenset(
    re.findall(
        r"\w+",
        """
        is are was were has have had does do did can may must cannot adds affects agrees asks begins begin compares
        comes come consists contains costs decides depends describes differs draws ends expects fits follows gets
        get gives goes grows grow ignores keeps keep lets lies makes make means mirrors multiplies needs need offers
        penalises predicts reaches reads refers refuses replaces requires runs says say see shows show starts stays
        takes take teaches trains wins writes become becomes count decide sees bounds mixes leaves tells
        """,
    )
)
"""Finite verbs of the explanations, none of which is often a noun in them (as names, maps, steps are)."""
OPENINGS = {"Of", "Which", "What", "How", "Whether", "Whose", "For", "Per"}
"""A sentence with such a beginning completes another one, which stands nowhere."""


def faults_of(text: str) -> list[str]:
    """The sentences of a text that are none: no finite verb, or a beginning that completes another sentence."""
    plain = re.sub(r"`[^`]*`", "it", text.strip())
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z\"]|it\b)", plain)
    return [
        sentence
        for sentence in sentences
        if sentence.split()[0].capitalize() in OPENINGS or not VERBS & set(re.findall(r"[a-z]+", sentence.lower()))
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Of SGD.",
        "Images per step.",
        "Which epoch's weights are kept: the best on validation, or the last.",
        "Each step takes this many images. Course of the learning rate.",
        "of the term.",
        "Per class in the cross-entropy.",
        "`auto`: CUDA, else MPS, else CPU.",
    ],
)
def test_a_fragment_is_noticed(text: str) -> None:
    assert len(faults_of(text)) == 1


@pytest.mark.parametrize(
    "text",
    ["Momentum of SGD; AdamW ignores it.", "SGD has this momentum.", "`auto` takes CUDA, else MPS, else the CPU."],
)
def test_a_sentence_passes(text: str) -> None:
    assert faults_of(text) == []


def rows(page: str) -> list[tuple[str, str]]:
    """First and last cell of every row of the tables of keys on a page of the reference."""
    lines = (REFERENCE / page).read_text(encoding="utf-8").splitlines()
    cells = [re.split(r"(?<!\\)\|", line.strip("| ")) for line in lines if line.startswith("| `")]
    return [(row[0].strip(" `"), row[-1].strip().replace(r"\|", "|")) for row in cells]


@pytest.mark.parametrize("page", ["recipe.md", "losses.md"])
def test_every_key_of_recipes_and_studies_is_explained_by_sentences(page: str) -> None:
    keys = [(key, text) for key, text in rows(page) if "." in key or page == "recipe.md"]
    assert len(keys) > 60
    fragments = {key: text for key, text in keys if not text or faults_of(text)}
    assert fragments == {}


def attribute_notes(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Class.attribute and the docstring below it ("" for none), for all annotated attributes of a module's classes."""
    for kind in [node for node in tree.body if isinstance(node, ast.ClassDef)]:
        for node, below in zip(kind.body, [*kind.body[1:], None], strict=True):
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                yield f"{kind.name}.{node.target.id}", text_of(below)


def text_of(node: ast.AST | None) -> str:
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return str(node.value.value) if is_text else ""  # type: ignore[union-attr]


def test_every_key_of_an_annotation_study_is_explained_by_sentences() -> None:
    files = (SOURCE / "annotate" / "study.py", SOURCE / "web" / "guard.py")
    notes = {key: text for file in files for key, text in attribute_notes(ast.parse(file.read_text()))}
    assert len(notes) > 40
    assert {key: text for key, text in notes.items() if not text or faults_of(text)} == {}


def test_no_docstring_and_no_argument_begins_with_of() -> None:
    of = re.compile(r"\s*Of\b|.*^ +\w+: [Oo]f\b", re.DOTALL | re.MULTILINE)
    places = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"  # type: ignore[attr-defined]
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if of.match(text_of(node))
    ]
    assert places == []


PARTICIPLES = frozenset(
    re.findall(
        r"\w+",
        """
        found one said told given asked place kept taken shown drawn made brought meant wanted others thing things
        """,
    )
)
"""Names that say nothing of what they hold: a reader of the second line has forgotten what was found."""
KEYS_OF_FILES = {
    "annotate/reviewed.py": {"taken"},
    "annotate/rows.py": {"shown"},
    "annotate/store/store.py": {"shown"},
    "annotations/formats/fixations.py": {"shown"},
    "maps/shapes.py": {"shown"},
    "train/recipe/data.py": {"drawn"},
}
"""Module -> names that stand in files, databases or pages, or in recipes; they cannot change."""


def names_bound(tree: ast.AST) -> Iterator[str]:
    """Every name that a module gives: to functions, classes, arguments, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.attr


def test_names_bound_are_seen() -> None:
    text = "class Told:\n  kept: int\ndef found(one, *, said):\n  self.place = [made for made in (taken := one)]\n"
    assert set(names_bound(ast.parse(text))) == {"Told", "kept", "found", "one", "said", "place", "made", "taken"}


def test_no_name_is_a_bare_participle_or_a_filler() -> None:
    paths = {path.relative_to(SOURCE).as_posix(): path for path in sorted(SOURCE.rglob("*.py"))}
    fillers = {name: PARTICIPLES & set(names_bound(ast.parse(path.read_text()))) for name, path in paths.items()}
    assert {name: words for name, words in fillers.items() if words} == KEYS_OF_FILES


def test_every_help_text_of_the_command_line_is_a_sentence() -> None:
    texts = [
        keyword.value.value
        for path in sorted((SOURCE / "cli").glob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == "help" and isinstance(keyword.value, ast.Constant)
    ]
    assert len(texts) > 150
    assert [text for text in texts if not str(text).endswith(".") or str(text).split()[0] in OPENINGS] == []
