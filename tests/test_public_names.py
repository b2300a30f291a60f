"""`import salign` is cheap, and yet everything is found below it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import salign

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
    assert set(names) >= SUBPACKAGES | set(salign.__all__) | {"__version__"}
    assert [name for name in names if not name.startswith("__") and not hasattr(salign, name)] == []


def test_a_name_that_does_not_exist_is_told_with_those_that_do() -> None:
    with pytest.raises(AttributeError, match="module 'salign' has no attribute 'nothing'; it has Batch, Classifier"):
        _ = salign.nothing
