"""What is cut, built and shipped as a release."""

from __future__ import annotations

import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RELEASE = runpy.run_path(str(ROOT / ".ci/release.py"))
LOG = """# Changelog

## [Unreleased]

### Added
- A thing.

## [0.1.0] - 2026-11-01
- The start.
"""


def test_the_changelog_is_cut_where_the_release_ends() -> None:
    assert RELEASE["cut"](LOG, "0.2.0", "2026-12-01") == LOG.replace(
        "## [Unreleased]\n", "## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n"
    )


@pytest.mark.parametrize(
    ("log", "version", "said"),
    [
        (LOG, "0.1.0", "has a version 0.1.0 already"),
        (LOG.replace("### Added\n- A thing.\n", ""), "0.2.0", "nothing under"),
    ],
)
def test_a_release_without_changes_or_with_an_old_version_is_refused(log: str, version: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        RELEASE["cut"](log, version, "2026-12-01")


def test_the_version_stands_in_two_files_and_is_the_same() -> None:
    import salign

    for name, line in (("src/salign/__init__.py", '__version__ = "{}"'), ("CITATION.cff", "version: {}")):
        text = (ROOT / name).read_text()
        assert line.format(salign.__version__) in text.splitlines()
        changed = RELEASE["with_version"](text, "9.8.7")
        assert changed == text.replace(line.format(salign.__version__), line.format("9.8.7"))
    with pytest.raises(ValueError, match="found 0"):
        RELEASE["with_version"]("no line of it", "9.8.7")


@pytest.mark.slow
def test_a_wheel_has_every_file_of_the_package_and_nothing_else(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    kept = subprocess.run(
        ["git", "ls-files", "src/salign"], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    assert names == {line.removeprefix("src/") for line in kept.splitlines()}
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", wheel], check=True, capture_output=True)
