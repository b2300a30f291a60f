"""A package's index: names stand once, and load what they name when they are first used."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import salign
from salign.index import LazyTable
from salign.losses import LOSSES

INIT = """
from typing import TYPE_CHECKING
from salign.index import lazy_index

if TYPE_CHECKING:
    from made_up.heavy import Heavy as Heavy, weigh as weigh
    from made_up.scale import scale as scale
    from made_up.heavy import UNLISTED

KINDS: dict[str, int] = {"a": 1}
_hidden = 2
lazy_index(__name__)
"""


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = tmp_path / "made_up"
    folder.mkdir()
    (folder / "__init__.py").write_text(INIT)
    (folder / "heavy.py").write_text("UNLISTED = 0\nclass Heavy: pass\ndef weigh(): return 'heavy'\n")
    (folder / "scale.py").write_text("from made_up.heavy import weigh\ndef scale(): return 'scaled ' + weigh()\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("made_up")
    for name in [name for name in sys.modules if name.partition(".")[0] == "made_up"]:
        del sys.modules[name]


def test_a_name_loads_its_module_when_it_is_first_used(made_up: Any) -> None:
    assert made_up.__all__ == ["Heavy", "KINDS", "scale", "weigh"]
    assert "made_up.heavy" not in sys.modules
    assert made_up.weigh() == "heavy"
    assert "made_up.scale" not in sys.modules


@pytest.mark.parametrize("first", ["made_up.scale", "made_up"])
def test_a_function_spelled_like_its_module_is_the_function(made_up: Any, first: str) -> None:
    importlib.import_module(first)
    from made_up import scale  # type: ignore[import-not-found]

    assert scale() == made_up.scale() == "scaled heavy"
    assert importlib.import_module("made_up.scale").scale is scale


def test_modules_are_attributes_and_what_is_not_there_is_told_with_what_is(made_up: Any) -> None:
    assert made_up.heavy.UNLISTED == 0
    assert {"heavy", "scale", "Heavy", "KINDS", "__name__"} <= set(dir(made_up))
    with pytest.raises(AttributeError, match="'made_up' has no attribute 'UNLISTED'; it has Heavy, KINDS, scale"):
        _ = made_up.UNLISTED


def test_a_table_knows_its_names_and_loads_a_class_when_it_is_looked_up(made_up: Any) -> None:
    table: LazyTable[Any] = LazyTable({"heavy": "made_up.heavy:Heavy", "own": int})
    assert list(table) == ["heavy", "own"]
    assert "made_up.heavy" not in sys.modules
    assert table["own"] is int
    assert [table["heavy"], table.get("nothing"), *table.values()] == [made_up.Heavy, None, made_up.Heavy, int]


PUBLIC = {
    "Batch", "Classifier", "Cyborg", "LOSSES", "Manifest", "Output", "Recipe", "Run", "SalignError", "SaliencyMap",
    "cyborg", "fit", "load",
}  # fmt: skip
"""What `salign.<TAB>` shows beside modules; a new name is a promise to keep it."""
SUBPACKAGES = {"annotate", "data", "evaluate", "experiment", "explain", "losses", "maps", "models", "train"}


def test_subpackages_and_public_names_are_found_without_an_import_of_their_own() -> None:
    """In a process that has imported nothing else; torch comes with the first name that needs it, not before."""
    program = (
        "import json, sys, salign\n"
        "names, light = dir(salign), 'torch' not in sys.modules and 'pandas' not in sys.modules\n"
        "found = [salign.config.merge({'a': 1}, {'b': 2}), salign.losses.LOSSES['ce'].__name__, salign.LOSSES['ce']"
        " is salign.losses.LOSSES['ce'], hasattr(salign, 'nothing')]\n"
        "print(json.dumps([names, light, found]))"
    )
    names, light, found = json.loads(subprocess.check_output([sys.executable, "-c", program]))
    assert light
    assert found == [{"a": 1, "b": 2}, "CrossEntropy", True, False]
    modules = {
        path.stem for path in Path(salign.__path__[0]).iterdir() if path.stem[0] != "_" and path.suffix in (".py", "")
    }
    special = {"__version__", "__all__", "__doc__", "__file__", "__name__", "__path__"}
    assert {name for name in names if not name.startswith("__")} == PUBLIC | modules
    assert modules >= SUBPACKAGES
    assert set(names) >= special
    assert [name for name in names if not name.startswith("__") and not hasattr(salign, name)] == []


def test_the_package_can_be_imported_from_a_zip(tmp_path: Path) -> None:
    source = Path(salign.__path__[0])
    with zipfile.ZipFile(tmp_path / "salign.zip", "w") as file:
        for path in source.rglob("*.py"):
            file.write(path, Path("salign") / path.relative_to(source))
    program = (
        "import salign; from salign.losses import LOSSES\n"
        "print(salign.__file__, salign.__version__, 'moved' in dir(salign), *LOSSES.keywords('cyborg'))"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "salign.zip")}
    got = subprocess.check_output([sys.executable, "-c", program], env=environment, text=True, cwd=tmp_path).split()
    expected = [str(tmp_path / "salign.zip" / "salign" / "__init__.py"), salign.__version__, "True"]
    assert got == expected + LOSSES.keywords("cyborg")


def test_a_name_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(AttributeError, match="module 'salign' has no attribute 'nothing'; it has Batch, Classifier"):
        _ = salign.nothing


@pytest.mark.parametrize("name", list(LOSSES))
def test_keywords_read_from_the_source_are_those_of_the_class(name: str) -> None:
    fresh = LazyTable({name: f"{LOSSES[name].__module__}:{LOSSES[name].__name__}", "class": LOSSES[name]})
    assert fresh.keywords(name) == fresh.keywords("class") == inspect.getfullargspec(LOSSES[name]).kwonlyargs
