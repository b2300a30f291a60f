"""Fixtures every test may use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parent
REPOSITORY = TESTS.parent
LONGEST = (
    "across/test_interrupted_studies.py",
    "across/test_studies.py",
    "test_docs.py",
    "across/test_resume.py",
    "experiment/test_demo.py",
    "annotate/web/test_run.py",
    "annotate/browser/test_drawing.py",
    "across/test_any_network.py",
    "test_contracts.py",
    "train/tasks/test_map_drawing.py",
    "experiment/report/test_report.py",
)
"""Test modules that take the longest: they begin first, so that no process ends alone with one of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {TESTS / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real annotated image sets, which cannot be redistributed with salign."""
    folder = Path(os.environ.get("SALIGN_TEST_DATA", REPOSITORY / ".." / "shared" / "data")).resolve()
    if not (folder / "busi_ultrasound" / "index.csv").exists():
        pytest.skip(f"no real image sets at {folder}; set SALIGN_TEST_DATA to their folder to run this test")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of a small set of digits with decoys; read it, never change it."""
    from salign.data.shortcuts.decoy import write_decoy_digits

    return write_decoy_digits(tmp_path_factory.mktemp("digits"), train=200, val=100, test=100, size=64)


@pytest.fixture(scope="session")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folder of one small finished training (`command.small`); read it, never change it."""
    from command import salign, small, written

    folder = tmp_path_factory.mktemp("trained")
    salign("train", written(folder / "small.yaml", small(digits)), "--out", folder / "runs", "--quiet")
    (run,) = (folder / "runs").iterdir()
    return run


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of that run; read it, never change it."""
    from salign.runs.export import export_run
    from salign.runs.run import Run

    path, _ = export_run(Run.open(trained), tmp_path_factory.mktemp("exported") / "model.onnx", images=8)
    return path


@pytest.fixture(scope="session")
def chromium() -> str:
    """Chromium's path; Debian's is installed where there is none and this is root."""
    if found := shutil.which("chromium"):
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        pytest.skip("no chromium, and it can only be installed as root on Debian: apt-get install chromium")
    quiet = {"capture_output": True, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
    done = subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False, **quiet)  # type: ignore[call-overload]
    found = shutil.which("chromium")
    if not found:
        pytest.skip(f"chromium could not be installed: {done.stderr.decode()[-300:]}")
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Any]:
    """Chromium, started once in each process of the tests: Playwright cannot be started twice in one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()
