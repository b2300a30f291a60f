"""`maps.npz` of a run, damaged or made by a stranger: one error that names it and says what to do."""

import os
import zipfile

import numpy as np
import pytest

from mutations import survive
from salign.errors import SalignError
from salign.runs.compare import read_maps
from salign.runs.folder import RunFolder

GOOD = {
    "test/ids": np.array(["a", "b"]),
    "test/maps": np.linspace(0, 1, 24).reshape(2, 3, 4).astype(np.float16),
    "test/human": np.eye(3, 4, dtype=np.float32),
    "test/annotated": np.array([True, False]),
    "test/predicted": np.array([1, 0]),
}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "analysis"
    folder.mkdir()
    (folder / "done").write_text("")
    np.savez_compressed(folder / "maps.npz", **GOOD)
    return RunFolder(tmp_path)


def test_they_come_back(run):
    (maps,) = read_maps(run).values()
    for field, values in maps._asdict().items():
        np.testing.assert_array_equal(values, GOOD[f"test/{field}"])


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("annotated", np.array([True]), r"annotated: unexpected bool of shape \(1,\)"),
        ("human", np.zeros(3, np.float32), r"human: unexpected float32 of shape \(3,\)"),
        ("ids", np.array([1, 2]), "ids: unexpected int64"),
        ("maps", np.zeros(2, np.float16), "not enough values"),
        ("maps", np.float16(1), "not enough values"),
        ("predicted", np.array([object(), 1]), "allow_pickle"),
    ],
)
def test_what_does_not_fit_together_is_refused(run, field, value, complaint):
    np.savez_compressed(run.path / "analysis/maps.npz", **{**GOOD, f"test/{field}": value})
    with pytest.raises(SalignError, match=rf"maps\.npz is damaged \(.*{complaint}.*run salign analyse .* again"):
        read_maps(run)


def test_a_part_that_is_missing_a_cut_file_and_a_pipe(run):
    path = run.path / "analysis/maps.npz"
    whole = path.read_bytes()
    np.savez(path, **{key: value for key, value in GOOD.items() if key != "test/human"})
    with pytest.raises(SalignError, match=r"maps\.npz is damaged \(.*test/human"):
        read_maps(run)
    path.write_bytes(whole[:-30])
    with pytest.raises(SalignError, match=r"maps\.npz is damaged"):
        read_maps(run)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(SalignError, match=r"maps\.npz is a named pipe"):
        read_maps(run)


def test_maps_that_unpack_to_more_than_the_memory_are_not_unpacked(run):
    path = run.path / "analysis/maps.npz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", b"")
        archive.infolist()[-1].file_size = 5_000_000_000
    with pytest.raises(SalignError, match="more than 4,000,000,000 bytes when unpacked"):
        read_maps(run)


def test_mutated_files(run):
    path = run.path / "analysis/maps.npz"
    survive(path, [path.read_bytes()], lambda _: list(read_maps(run).values()), lambda found: None)
