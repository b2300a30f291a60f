"""Old names of modules, and of what they held, are found for one version, with a warning."""

from __future__ import annotations

import importlib
import sys

import pytest

from salign.moved import MOVED, MOVED_NAMES


@pytest.mark.parametrize("old", sorted(MOVED))
def test_a_module_that_moved_is_found_under_its_old_name(old: str) -> None:
    sys.modules.pop(old, None)
    with pytest.warns(DeprecationWarning, match=f"{old} is {MOVED[old]} now"):
        found = importlib.import_module(old)
    home = vars(importlib.import_module(MOVED[old]))
    assert {name: thing for name, thing in vars(found).items() if not name.startswith("__")}.items() <= home.items()


@pytest.mark.parametrize(
    ("old", "name", "home"), [(old, *pair) for old, names in MOVED_NAMES.items() for pair in names.items()]
)
def test_a_name_that_moved_is_found_in_its_old_module(old: str, name: str, home: str) -> None:
    module = importlib.import_module(old)
    home, _, new = home.partition(":")
    with pytest.warns(DeprecationWarning, match=f"{old}.{name} is {home}.{new or name} now"):
        found = getattr(module, name)
    assert found is getattr(importlib.import_module(home), new or name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing
