"""Choices by name are checked in one way, and the message says what was probably meant."""

from __future__ import annotations

import builtins
import importlib.util
import tomllib
from pathlib import Path

import pytest

from command import salign
from salign.data.reading.image import read_image
from salign.errors import SalignError, install, one_of
from salign.experiment.runner import RayExecutor

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(("value", "known"), [("mean", ("union", "mean")), (3, (1, 3)), (None, (None, "imagenet"))])
def test_a_choice_there_is_is_taken(value, known):
    one_of(value, known, "--annotators")
    with pytest.raises(SalignError, match="--annotators: expected "):
        one_of(str(value) + "s", known, "--annotators")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("degree", "position: expected image, screen or degrees, got 'degree'; did you mean 'degrees'?"),
        ("xyz", "position: expected image, screen or degrees, got 'xyz'"),
        (3, "position: expected image, screen or degrees, got 3"),
    ],
)
def test_any_other_is_refused_with_the_nearest(value, message):
    with pytest.raises(SalignError) as caught:
        one_of(value, ("image", "screen", "degrees"), "position")
    assert str(caught.value) == message


def test_nothing_tells_to_install_salign_from_an_index_that_does_not_have_it():
    texts = [*REPOSITORY.glob("src/**/*.py"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("*.md")]
    texts += [*REPOSITORY.glob("recipes/**/*.yaml"), *REPOSITORY.glob("examples/**/*.py")]
    assert len(texts) > 200
    commands = [line for path in texts for line in path.read_text("utf-8").splitlines() if "pip install" in line]
    assert len(commands) > 5
    assert [line for line in commands if "install salign" in line.replace("'", "").replace('"', "")] == []


def test_a_missing_extra_is_told_with_what_installs_it(monkeypatch, tmp_path):
    """By the command, the reader and the executor that need it, for extras that there are."""
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"annotate", "dicom", "ray"} <= set(extras)
    assert install("ray") == "install it in your clone of salign: pip install -e '.[ray]'"
    real_import, real_find = builtins.__import__, importlib.util.find_spec

    def without(name, *rest):
        if name.partition(".")[0] in ("pydicom", "ray"):
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else real_find(name, *rest)
    )
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(SalignError, match="DICOM needs the package pydicom; " + install("dicom").replace("[", r"\[")):
        read_image(tmp_path / "a.dcm")
    with pytest.raises(SalignError, match="needs the package ray; " + install("ray").replace("[", r"\[")):
        RayExecutor("auto")
    assert f"needs the packages uvicorn; {install('annotate')}\n" in salign("annotate", tmp_path, code=2).err
