"""Cut a release: `python .ci/release.py 0.2.0`, in a clean clone with `make quick` done. Nothing is sent anywhere.

Writes the version into salign/__init__.py and CITATION.cff and the date into CHANGELOG.md, builds dist/, checks what an
index would refuse, and uses the wheel in an environment of its own, away from the clone. It ends with what to type
next.
"""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TRIAL = """
import torch, salign
net = salign.Classifier("test_resnet", ["real", "fake"], image_size=64, weights=None)
output = net(torch.rand(2, 3, 64, 64))
assert output.cam(torch.tensor([0, 1])).ndim == 3
"""


def cut(changelog: str, version: str, day: str) -> str:
    """The changelog with what was unreleased under this version, and an empty heading for what comes.

    Raises:
        ValueError: there is nothing to release, or the version was released before.
    """
    head, found, rest = changelog.partition("## [Unreleased]\n")
    changes, heading, older = rest.partition("\n## [")
    if not found or not changes.strip():
        raise ValueError("CHANGELOG.md has nothing under [Unreleased]")
    if f"## [{version}]" in changelog:
        raise ValueError(f"CHANGELOG.md has a version {version} already")
    return f"{head}## [Unreleased]\n\n## [{version}] - {day}\n{changes}{heading}{older}"


def with_version(text: str, version: str) -> str:
    """A file with its one line `__version__ = "..."`, or `version: ...`, changed.

    Raises:
        ValueError: there is no such line, or more than one.
    """
    changed, count = re.subn(r'^(__version__ = "|version: )[^"\n]+', rf"\g<1>{version}", text, flags=re.MULTILINE)
    if count != 1:
        raise ValueError(f"expected one line with a version, found {count}")
    return changed


def main(version: str) -> None:
    """Do all of it; the first step that fails ends it."""

    def run(*words: object, cwd: Path = ROOT) -> str:
        print("$", *words)
        return subprocess.run(
            [str(word) for word in words], cwd=cwd, check=True, text=True, stdout=subprocess.PIPE
        ).stdout

    if run("git", "status", "--porcelain").strip():
        sys.exit("the clone has changes that are not committed; commit them first")
    for name in ("src/salign/__init__.py", "CITATION.cff"):
        (ROOT / name).write_text(with_version((ROOT / name).read_text(), version))
    log = ROOT / "CHANGELOG.md"
    log.write_text(cut(log.read_text(), version, datetime.date.today().isoformat()))
    run(sys.executable, "-m", "build", "--outdir", "dist", ".")
    files = [ROOT / "dist" / f"salign-{version}{end}" for end in ("-py3-none-any.whl", ".tar.gz")]
    run(sys.executable, "-m", "twine", "check", "--strict", *files)
    with tempfile.TemporaryDirectory() as folder:
        away = Path(folder)
        venv.create(away / "venv", with_pip=True)
        python = away / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", files[0], cwd=away)
        if (told := run(away / "venv" / "bin" / "salign", "--version", cwd=away).split()[-1]) != version:
            sys.exit(f"the wheel says that it is version {told}")
        run(python, "-c", TRIAL, cwd=away)
    print("dist/ is ready. Next:")
    print(f"git commit -am 'Version {version}' && git tag v{version} && twine upload dist/*{version}*")


if __name__ == "__main__":
    main(sys.argv[1])
