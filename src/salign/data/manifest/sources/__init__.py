"""Adapters that read layouts of images and maps as a `Manifest`, one adapter for each layout."""

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
"""The adapter for each layout, by the name of the layout."""

__all__ = ["SOURCES", "from_csv", "from_cvrl", "from_folder"]
