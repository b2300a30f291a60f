"""Who may import what: the tree of the design, enforced on the source text."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "salign"

FOUNDATION = {
    "checks",
    "class_names",
    "collectives",
    "config",
    "errors",
    "files",
    "index",
    "limits",
    "location",
    "moved",
    "progress",
    "readers",
    "types",
}
TRAINED_WITH = FOUNDATION | {"maps", "models", "data", "losses", "explain", "evaluate"}
MAY_IMPORT = {
    "checks": {"errors", "limits"},
    "__main__": {"cli"},
    "class_names": set(),
    "collectives": set(),
    "errors": set(),
    "index": {"moved"},
    "limits": set(),
    "moved": set(),
    "progress": set(),
    "location": {"errors"},
    "files": {"errors", "location"},
    "readers": {"errors", "index", "location"},
    "config": {"errors", "location", "moved", "readers"},
    "types": {"checks", "moved"},
    "maps": FOUNDATION,
    "pages": FOUNDATION | {"maps"},
    "models": FOUNDATION | {"maps"},
    "losses": FOUNDATION | {"maps"},
    "explain": FOUNDATION | {"maps"},
    "evaluate": FOUNDATION | {"maps"},
    "data": FOUNDATION | {"maps", "pages"},
    "annotations": FOUNDATION | {"maps", "data"},
    "machine": FOUNDATION | {"maps", "data", "models", "explain", "evaluate"},
    "runtime": FOUNDATION | {"maps", "data", "evaluate"},
    "train": TRAINED_WITH | {"machine"},
    "runs": TRAINED_WITH | {"pages", "machine", "train", "runtime"},
    "experiment": TRAINED_WITH | {"pages", "machine", "train", "runs"},
    "web": FOUNDATION,
    "annotate": FOUNDATION | {"maps", "data", "annotations", "evaluate", "web"},
    "serve": FOUNDATION | {"maps", "data", "models", "losses", "runs", "runtime", "web"},
    "graphs": FOUNDATION | {"maps", "data", "evaluate", "pages"},
    "search": TRAINED_WITH | {"pages", "machine", "train", "runs", "experiment"},
    "project": TRAINED_WITH | {"annotations", "runs", "experiment", "annotate"},
    "cli": TRAINED_WITH
    | {"pages", "annotations", "machine", "train", "runs", "experiment", "annotate", "project"}
    | {"graphs", "search", "runtime", "web", "serve"},
}
ONLY_IN = {
    "lightning": {"train", "data/reading/datamodule.py"},
    "matplotlib": {"pages/plots.py"},
    "defusedxml": {"annotations/formats/xml.py"},
    "fsspec": {"location.py"},
    "fastapi": {"annotate/web/", "serve/app.py", "web/replies.py"},
    "huggingface_hub": {"runs/publish.py"},
    "itsdangerous": {"annotate/access.py"},
    "mlxtend": {"data/shortcuts/decoy.py"},
    "pydicom": {"data/reading/dicom.py"},
    "onnx": {"models"},
    "onnxruntime": {"models/quantize.py", "runtime"},
    "ray": {"runs/cluster.py", "runs/blocks.py"},
    "sqlalchemy": {"annotate/store"},
    "timm": {"models"},
}
LIGHT = {
    "salign", "typer", "typing", "pathlib", "__future__", "sys", "errno", "json", "collections", "enum", "itertools",
}  # fmt: skip
"""What a subcommand may import before it is called."""


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of everything imported in a tree, wherever it stands."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_follow_the_design(path: Path) -> None:
    part = part_of(path)
    names = imported(ast.parse(path.read_text()))
    ours = {name.split(".")[1] for name in names if name.startswith("salign.")} - {part, "__version__"}
    allowed = MAY_IMPORT.get(str(path.relative_to(SOURCE)), MAY_IMPORT[part])
    assert ours <= allowed, f"{part} must not import {sorted(ours - allowed)}"
    for library, places in ONLY_IN.items():
        if any(name.split(".")[0] == library for name in names):
            place = str(path.relative_to(SOURCE))
            fits = any(place == one or place.startswith(one.removesuffix("/") + "/") for one in places)
            assert fits, f"{library} belongs into {sorted(places)}"


@pytest.mark.parametrize("path", sorted((SOURCE / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_commands_import_nothing_heavy_before_they_are_called(path: Path) -> None:
    top = ast.Module(
        [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)], []
    )
    names = imported(top)
    assert {name.split(".")[0] for name in names} <= LIGHT
    ours = {name for name in names if name.startswith("salign.")}
    assert all(name.split(".")[1] in {"cli", "errors", "limits", "location", "__version__"} for name in ours), ours


def test_no_module_outgrows_a_reader() -> None:
    lengths = {str(path.relative_to(SOURCE)): len(path.read_text().splitlines()) for path in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}


def test_parts_of_the_tree_are_all_known() -> None:
    assert {part_of(path) for path in modules()} == {name for name in MAY_IMPORT if "/" not in name}


TESTS = Path(__file__).parent
NO_SOURCE = {"test_architecture.py", "test_contracts.py", "test_docs.py"}
"""These ask the whole tree, every member of a table, every page; `across/` holds other tests of several parts."""


def test_every_test_module_has_the_stem_of_what_it_tests() -> None:
    sources = {path.relative_to(SOURCE).with_suffix("") for path in SOURCE.rglob("*.py")}
    sources |= {path.parent for path in sources if path.name == "__init__"}
    tests = {path.relative_to(TESTS) for path in TESTS.rglob("test_*.py") if path.parent.name != "browser"}
    of_several = {path for path in tests if path.parts[0] == "across" or str(path) in NO_SOURCE}
    stems = {test: test.with_name(test.stem.removeprefix("test_")) for test in tests - of_several}
    strays = sorted(str(test) for test, source in stems.items() if source not in sources)
    assert strays == [], "a test module has the folder and stem of a module of src, or stands in tests/across"
    assert len(of_several) <= 0.1 * len(tests)


@pytest.mark.parametrize(
    ("modules", "library"),
    [
        (
            "errors files config readers limits class_names index data.manifest train.recipe.Recipe losses.LOSSES",
            "torch",
        ),
        ("errors files config index", "pandas"),
        ("data.reading.read_image losses.Cyborg models evaluate.auroc maps.SaliencyMap", "lightning"),
    ],
)
def test_what_is_light_stays_light(modules: str, library: str) -> None:
    """In a process of its own: what of salign may be used before a heavy library is imported."""
    uses = "; ".join(f"salign.{module}" for module in modules.split())
    program = f"import sys, salign; {uses}; print({library!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
