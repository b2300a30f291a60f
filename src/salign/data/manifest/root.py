"""Where the paths of a manifest begin: in its own folder, or in one above it that a small file beside it records.

A manifest of maps that lie apart from their images has its root above both. So that nobody has to say it each time,
`manifest.csv.root` holds the way there, such as `..`; the CSV stays plain. Since the file may come from a stranger, it
can name a folder above the manifest only, and none above the home folder: what leaves the root is still a fault.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from salign.errors import SalignError
from salign.files import replace_text
from salign.location import is_remote, quote
from salign.readers import read_text

ENDING = ".root"
"""What the name of the file beside a manifest adds to its own."""
_MOST_BYTES = 1000


def root_of(path: Path) -> Path:
    """The folder that the paths in a manifest are relative to: the recorded one, else its own.

    Raises:
        SalignError: what is recorded is no folder above the manifest, or one above the home folder.
    """
    if is_remote(path):
        return path.parent
    beside = _beside(path)
    if not beside.is_file():
        return path.parent.resolve()
    steps = PurePosixPath(read_text(beside, limit=_MOST_BYTES).strip()).parts
    root = path.parent.resolve().joinpath(*steps).resolve()
    if not steps or set(steps) != {".."} or _is_too_wide(root):
        raise SalignError(
            f"{beside}: expected the way to a folder above the manifest and not above the home folder, such as '..'; "
            "remove the file, and say what the paths are relative to by --root or data.root"
        )
    return root


def record_root(path: Path, root: Path) -> bool:
    """Record the root of a manifest that is about to be written.

    Returns:
        Whether `root_of(path)` is the root now; if not, it must be said (`--root`).

    Raises:
        OSError: it cannot be written.
    """
    own, root = path.parent.resolve(), root.resolve()
    steps = way_to(root, own)
    if steps is None:
        _beside(path).unlink(missing_ok=True)
        return own == root
    replace_text(_beside(path), steps)
    return True


def way_to(root: Path, folder: Path) -> str | None:
    """What is recorded of a root beside a manifest in a folder; None where nothing is or may be."""
    if folder == root or not folder.is_relative_to(root) or _is_too_wide(root):
        return None
    return "/".join([".."] * len(folder.relative_to(root).parts)) + "\n"


def root_option(path: Path, root: Path) -> str:
    """What a command that reads the manifest needs to be told of its root: nothing, or ` --root ROOT`."""
    return "" if root_of(path) == root.resolve() else f" --root {quote(root)}"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}{ENDING}")


def _is_too_wide(root: Path) -> bool:
    home = Path.home().resolve()
    return root == Path(root.anchor) or (home != root and home.is_relative_to(root))
