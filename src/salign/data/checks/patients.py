"""Images of one patient, as the headers of DICOM files tell them."""

from __future__ import annotations

from collections.abc import Sequence

from salign.data.manifest import Manifest
from salign.data.reading.dicom import patient

MOST = 0.2
"""An identity of a larger share of the images is no patient, but a placeholder such as `anonymous`."""


def same_patients(manifest: Manifest) -> tuple[list[list[int]], str]:
    """Groups of positions of images of one patient, in order of their first; nothing of an identity is kept.

    Args:
        manifest: rows, which may have no split yet.

    Returns:
        Groups of two images or more, by the tag PatientID; and a sentence about them, empty where no image says one.
    """
    paths: Sequence[str] = manifest.table["path"].tolist()
    by_patient: dict[str, list[int]] = {}
    for i, path in enumerate(paths):
        if name := patient(manifest.root / path):
            by_patient.setdefault(name, []).append(i)
    if not by_patient:
        return [], ""
    if (most := max(map(len, by_patient.values()))) > max(2, MOST * len(paths)):
        return [], f"{most} DICOM files say the same PatientID, which is no patient's: it keeps nothing together"
    groups = [group for group in by_patient.values() if len(group) > 1]
    if not groups:
        return [], f"by PatientID of the DICOM files, each of {len(by_patient)} patients has one image"
    return groups, f"{len(by_patient)} patients by PatientID of the DICOM files; the images of each stay together"
