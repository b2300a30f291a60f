"""Images of the same patient, found by the headers of DICOM files."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low

from salign.data.manifest import Manifest
from salign.data.reading.dicom import patient

MOST = 0.2
"""A PatientID on more than this share of the images may be a placeholder, such as `anonymous`, and not a patient."""
_STANDS_OUT = 2
"""It is a placeholder if it has more than this many times the images of the median PatientID, or if it is the only one
of all images."""


def same_patients(manifest: Manifest) -> tuple[list[list[int]], str]:
    """Group the positions of images of the same patient; the result does not contain any PatientID.

    A PatientID is taken for a placeholder if more than `MOST` of the images have it and it stands out: it has more than
    twice the images of the median PatientID, or there is no other PatientID. A placeholder keeps no images together.
    Patients with many images each do not stand out if they are alike, such as four patients with a quarter of the
    images each.

    Args:
        manifest: rows, which may have no split yet.

    Returns:
        Groups of two or more positions by the tag PatientID, in order of their first position; and a sentence about
        the patients, which is empty if no image has a PatientID.
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
