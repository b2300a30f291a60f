"""The manifest: which images there are, their labels, splits and maps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.data.manifest.faults import Fault as Fault, ManifestError as ManifestError
    from salign.data.manifest.provenance import (
        CONFIDENCE as CONFIDENCE,
        MACHINE as MACHINE,
        ONE_PERSON as ONE_PERSON,
        PROVENANCE as PROVENANCE,
        UNKNOWN as UNKNOWN,
        map_columns as map_columns,
    )
    from salign.data.manifest.table import (
        ANSWER as ANSWER,
        COLUMNS as COLUMNS,
        Manifest as Manifest,
    )

lazy_index(__name__)
