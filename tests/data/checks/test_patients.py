"""Images of one patient by the headers of DICOM files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from salign.data.checks.patients import same_patients
from salign.data.manifest import Manifest
from tool_files import write_dicom

PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)


def manifest(folder, patients):
    """Rows of DICOM files that say these patients; None is a PNG."""
    rows = ["id,path,label,split"]
    for k, patient in enumerate(patients):
        name = f"{k}.{'png' if patient is None else 'dcm'}"
        if patient is None:
            Image.fromarray(PIXELS.astype(np.uint8)).save(folder / name)
        else:
            write_dicom(folder / name, PIXELS, PatientID=patient)
        rows.append(f"{k},{name},a,train")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return Manifest.read(folder / "manifest.csv")


@pytest.mark.parametrize(
    ("patients", "groups", "words"),
    [
        (["A", "B", None, "A", "", "B", "C", "", "D", "E"], [[0, 3], [1, 5]], "5 patients by PatientID"),
        (["A", "B", "C"], [], "each of 3 patients has one image"),
        (["anonymous"] * 4 + ["A"], [], "4 DICOM files say the same PatientID, which is no patient's"),
        ([None, None, ""], [], ""),
    ],
)
def test_the_images_of_a_patient_are_a_group(patients, groups, words, tmp_path):
    found, said = same_patients(manifest(tmp_path, patients))
    assert found == groups
    assert words in said
    assert bool(said) == bool(words)


def test_what_is_no_dicom_inside_says_no_patient(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"nothing")
    (tmp_path / "manifest.csv").write_text("id,path,label,split\na,a.dcm,x,train\n")
    assert same_patients(Manifest.read(tmp_path / "manifest.csv")) == ([], "")
