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
        (["A"] * 4, [], "4 DICOM files say the same PatientID, which is no patient's"),
        (list("ABCD") * 4, [[k, k + 4, k + 8, k + 12] for k in range(4)], "4 patients by PatientID"),
        ([None, None, ""], [], ""),
    ],
)
def test_the_images_of_a_patient_are_a_group(patients, groups, words, tmp_path):
    found, said = same_patients(manifest(tmp_path, patients))
    assert found == groups
    assert words in said
    assert bool(said) == bool(words)


def test_placeholders_keep_nothing_together_and_the_patients_beside_them_are_groups(tmp_path):
    patients = ["anonymous"] * 6 + ["none"] * 5 + [name for name in "ABCDE" for _ in range(2)]
    groups, sentence = same_patients(manifest(tmp_path, patients))
    assert groups == [[k, k + 1] for k in range(11, 21, 2)]
    assert [part[:40] for part in sentence.split("; ")] == [
        "5 DICOM files say the same PatientID, wh",
        "6 DICOM files say the same PatientID, wh",
        "5 patients by PatientID of the DICOM fil",
        "the images of each stay together",
    ]


def test_what_is_no_dicom_inside_says_no_patient(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"nothing")
    (tmp_path / "manifest.csv").write_text("id,path,label,split\na,a.dcm,x,train\n")
    assert same_patients(Manifest.read(tmp_path / "manifest.csv")) == ([], "")
