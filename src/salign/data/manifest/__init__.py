"""The manifest: which images there are, their labels, splits and maps."""

from salign.data.manifest.table import (
    ANSWER,
    COLUMNS,
    CONFIDENCE,
    MACHINE,
    ONE_PERSON,
    PROVENANCE,
    UNKNOWN,
    Fault,
    Manifest,
    ManifestError,
    map_columns,
)

__all__ = [
    "ANSWER",
    "COLUMNS",
    "CONFIDENCE",
    "MACHINE",
    "ONE_PERSON",
    "PROVENANCE",
    "UNKNOWN",
    "Fault",
    "Manifest",
    "ManifestError",
    "map_columns",
]
