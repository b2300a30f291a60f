"""One adapter per public layout; each turns it into a `Manifest` ready to be written."""

from __future__ import annotations

from collections.abc import Callable

from salign.data.manifest import Manifest
from salign.data.sources.cvrl import from_cvrl
from salign.data.sources.folder import from_folder
from salign.data.sources.table import from_csv

SOURCES: dict[str, Callable[..., Manifest]] = {
    "folder": from_folder,
    "csv": from_csv,
    "cvrl": from_cvrl,
}
"""Adapter by name."""

__all__ = ["SOURCES", "from_csv", "from_cvrl", "from_folder"]
