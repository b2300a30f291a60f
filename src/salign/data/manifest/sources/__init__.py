"""Layouts of images and maps that become a `Manifest`: one adapter each."""

from __future__ import annotations

from collections.abc import Callable

from salign.data.manifest.sources.cvrl import from_cvrl
from salign.data.manifest.sources.folder import from_folder
from salign.data.manifest.sources.table import from_csv
from salign.data.manifest.table import Manifest

SOURCES: dict[str, Callable[..., Manifest]] = {
    "folder": from_folder,
    "csv": from_csv,
    "cvrl": from_cvrl,
}
"""Adapter by name."""

__all__ = ["SOURCES", "from_csv", "from_cvrl", "from_folder"]
