"""Old names of modules, and of what they held, are found for one version, with a warning."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings

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


@pytest.mark.parametrize(
    ("below", "message"),
    [
        ("salign.data.check", "cannot import name 'nothing' from 'salign.data.check'"),
        ("salign.data.sources", "cannot import name 'nothing' from 'salign.data.sources'"),
    ],
)
def test_what_a_module_that_moved_never_had_is_told_without_a_false_warning(below: str, message: str) -> None:
    sys.modules.pop(below, None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ImportError, match=message):
            exec(f"from {below} import nothing")
    assert [str(warning.message).partition(" is ")[0] for warning in caught] == [below]
    assert importlib.util.find_spec("salign.data.sources.nothing") is None


def test_the_warning_names_the_line_that_used_the_old_name() -> None:
    """Python shows a DeprecationWarning only where the line is the user's own."""
    losses, running = importlib.import_module("salign.losses"), importlib.import_module("salign.models.running")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        sys.modules.pop("salign.data.blur", None)
        import salign.data.blur  # noqa: F401

        from salign.explain import Item  # noqa: F401

        _ = losses.blended, running.running_statistics_kept
    assert {str(warning.message).partition(" is ")[0] for warning in caught} == {
        "salign.data.blur",
        "salign.explain.Item",
        "salign.losses.blended",
        "salign.models.running.running_statistics_kept",
    }
    assert {warning.filename for warning in caught} == {__file__}
