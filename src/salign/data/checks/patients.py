"""Images of one patient, as the headers of DICOM files tell them."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low

from salign.data.manifest import Manifest
from salign.data.reading.dicom import patient

MOST = 0.2
"""An identity of a larger share of the images may be a placeholder such as `anonymous`, and no patient."""
_STANDS_OUT = 2
"""It is one if it has more than so many times the images of the median identity, or if there is no other."""


def same_patients(manifest: Manifest) -> tuple[list[list[int]], str]:
    """Groups of positions of images of one patient, in order of their first; nothing of an identity is kept.

    An identity of more than `MOST` of the images is no patient's where it stands out, with more than twice the images
    of the median identity, or where there is no other. It keeps nothing together. The other identities do, and so do a
    few patients with many images each, such as four with a quarter of all.

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
    sizes = sorted(map(len, by_patient.values()))
    usual = median_low(sizes) if len(sizes) > 1 else 0
    limit = max(2, MOST * len(paths), _STANDS_OUT * usual)
    patients = [group for group in by_patient.values() if len(group) <= limit]
    sentences = [
        f"{size} DICOM files say the same PatientID, which is no patient's: it keeps nothing together"
        for size in sizes
        if size > limit
    ]
    groups = [group for group in patients if len(group) > 1]
    if groups:
        sentences.append(f"{len(patients)} patients by PatientID of the DICOM files; the images of each stay together")
    elif not sentences:
        sentences.append(f"by PatientID of the DICOM files, each of {len(patients)} patients has one image")
    return groups, "; ".join(sentences)
