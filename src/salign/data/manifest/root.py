"""The root of a manifest's paths: the manifest's own folder, or a folder above it that a small file beside it records.

If maps lie apart from their images, the root of the manifest is a folder above both. So that nobody has to give the
root to every command, the file `manifest.csv.root` holds the way to it, such as `..`; the CSV file stays plain. This
file may come from a stranger, so it can only name a folder above the manifest, and none above the home folder. Paths
that leave the root are still faults.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from salign.errors import SalignError
from salign.files import replace_text
from salign.location import is_remote, quote
from salign.readers import read_text

ENDING = ".root"
"""What is added to the name of a manifest to name the file that records its root."""
_MOST_BYTES = 1000


def root_of(path: Path) -> Path:
    """Return the folder that the paths in a manifest are relative to: the recorded folder, else the manifest's own.

    Raises:
        SalignError: the recorded text does not name a folder above the manifest, or names one above the home folder.
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
    """Record the root of a manifest in the file beside it, or remove that file if there is nothing to record.

    Returns:
        Whether `root_of(path)` is the root now. If not, commands have to be told the root (`--root`).

    Raises:
        OSError: the file cannot be written.
    """
    own, root = path.parent.resolve(), root.resolve()
    steps = way_to(root, own)
    if steps is None:
        _beside(path).unlink(missing_ok=True)
        return own == root
    replace_text(_beside(path), steps)
    return True


def way_to(root: Path, folder: Path) -> str | None:
    """Return the text that records a root beside a manifest in `folder`; None if none is needed or allowed."""
    if folder == root or not folder.is_relative_to(root) or _is_too_wide(root):
        return None
    return "/".join([".."] * len(folder.relative_to(root).parts)) + "\n"


def root_option(path: Path, root: Path) -> str:
    """Return the option that a command needs to find the root of a manifest: nothing, or ` --root ROOT`."""
    return "" if root_of(path) == root.resolve() else f" --root {quote(root)}"


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}{ENDING}")


def _is_too_wide(root: Path) -> bool:
    home = Path.home().resolve()
    return root == Path(root.anchor) or (home != root and home.is_relative_to(root))
