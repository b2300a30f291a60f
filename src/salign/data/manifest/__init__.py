"""The manifest: which images there are, their labels, splits and maps."""

from salign.data.manifest.provenance import CONFIDENCE, MACHINE, ONE_PERSON, PROVENANCE, UNKNOWN, map_columns
from salign.data.manifest.table import ANSWER, COLUMNS, Fault, Manifest, ManifestError

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
