from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from mutations import survive
from salign.annotations.draw import draw_marks
from salign.annotations.formats import annotation_format
from salign.annotations.formats.arrays import read_arrays
from salign.annotations.formats.notes import Notes
from salign.annotations.rle import Runs
from salign.data.manifest import ManifestError
from salign.errors import SalignError

RANDOM = np.random.default_rng(0)
SOFT = RANDOM.random((4, 7, 9)).astype(np.float32)
MASK = SOFT[0] > 0.5


def as_drawn(found, size=(7, 9)):
    return {(one.image, one.annotator): draw_marks([one], size) for one in found}


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (MASK, MASK),
        (MASK.astype(np.int64), MASK),
        (MASK.astype(">i4"), MASK),
        ((SOFT[1] * 255).astype(np.uint8), (SOFT[1] * 255).astype(np.uint8) / 255),
        ((SOFT[1] * 65535).astype(">u2"), (SOFT[1] * 65535).astype(np.uint16) / 65535),
        (SOFT[1], SOFT[1]),
        (SOFT[1].astype(">f8"), SOFT[1]),
        (np.asfortranarray(SOFT[1]), SOFT[1]),
        (SOFT[1].astype(np.float16), SOFT[1].astype(np.float16)),
    ],
)
def test_a_file_per_image(tmp_path, stored, expected):
    (tmp_path / "sub").mkdir()
    np.save(tmp_path / "sub" / "a.npy", stored)
    np.save(tmp_path / "b.npy", np.zeros((7, 9)))
    found = read_arrays(tmp_path)
    assert [(one.image, one.size) for one in found] == [("b", (7, 9)), ("sub/a", (7, 9))]
    assert found[0].mask is None
    np.testing.assert_allclose(as_drawn(found)["sub/a", None], expected, atol=1e-6)


def test_yes_or_no_maps_are_kept_small(tmp_path):
    np.save(tmp_path / "a.npy", MASK)
    assert isinstance(read_arrays(tmp_path)[0].mask, Runs)
    checked = np.indices((200, 200)).sum(0) % 2 == 1  # its runs would take more than itself
    np.save(tmp_path / "a.npy", checked)
    found = read_arrays(tmp_path)
    assert not isinstance(found[0].mask, Runs)
    np.testing.assert_array_equal(draw_marks(found, (200, 200)), checked)


def test_a_stack_with_ids(tmp_path):
    np.save(tmp_path / "maps.npy", SOFT)
    (tmp_path / "ids.txt").write_text("a\nb\nsub/c\nd\n")
    found = as_drawn(read_arrays(tmp_path / "maps.npy", ids=tmp_path / "ids.txt"))
    assert [name for name, _ in found] == ["a", "b", "sub/c", "d"]
    np.testing.assert_array_equal(found["sub/c", None], SOFT[2])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives(tmp_path, save):
    save(tmp_path / "each.npz", a=SOFT[0], b_anna=MASK)
    found = as_drawn(read_arrays(tmp_path / "each.npz"))
    np.testing.assert_array_equal(found["a", None], SOFT[0])
    np.testing.assert_array_equal(found["b_anna", None], MASK)
    who = np.array(["anna", "ben", "anna", "ben"])
    save(tmp_path / "stack.npz", maps=SOFT, ids=np.array(["a", "a", "b", "b"]), annotators=who)
    found = as_drawn(read_arrays(tmp_path / "stack.npz"))
    assert list(found) == [("a", "anna"), ("a", "ben"), ("b", "anna"), ("b", "ben")]
    np.testing.assert_array_equal(found["b", "ben"], SOFT[3])
    save(tmp_path / "numbered.npz", maps=SOFT[:2], ids=np.array([7, 12]), annotators=np.array([1, -2], np.int8))
    found = as_drawn(read_arrays(tmp_path / "numbered.npz"))
    assert list(found) == [("7", "1"), ("12", "-2")]
    save(tmp_path / "odd.npz", maps=SOFT[:2], ids=np.array([7.0, 12.0]))
    with pytest.raises(SalignError, match=r"odd\.npz: expected ids to be a list of names, got float64 \(2,\)"):
        read_arrays(tmp_path / "odd.npz")


def test_patterns_name_annotators(tmp_path):
    (tmp_path / "anna").mkdir()
    np.save(tmp_path / "anna" / "a.npy", MASK)
    assert list(as_drawn(read_arrays(tmp_path, pattern="{annotator}/{image}"))) == [("a", "anna")]


def test_scaling(tmp_path):
    np.save(tmp_path / "a.npy", SOFT[0] * 37)
    np.save(tmp_path / "b.npy", np.arange(63).reshape(7, 9))
    with pytest.raises(ManifestError) as caught:
        read_arrays(tmp_path)
    assert [fault.column for fault in caught.value.faults] == ["a", "b"]
    found = as_drawn(read_arrays(tmp_path, scale=True))
    np.testing.assert_allclose(found["a", None], SOFT[0] / SOFT[0].max(), atol=1e-6)
    np.testing.assert_allclose(found["b", None], np.arange(63).reshape(7, 9) / 62, atol=1e-6)


class Evil:
    def __reduce__(self):
        return (open, ("/tmp/salign-was-here", "w"))


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_nothing_pickled_is_opened(tmp_path, suffix):
    evil = np.array([[Evil()]], dtype=object)
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, evil, allow_pickle=True)
    else:
        np.savez(path, a=evil)
    with pytest.raises(SalignError, match="expected numbers"):
        read_arrays(tmp_path if suffix == ".npy" else path)


def header(shape, dtype="<f4"):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "magic"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "header"),
        (header((10**6, 10**6)), "maps up to 25,000,000 pixels"),
        (header((10**400, 1)), "maps up to"),
        (header((3, 3)) + b"1234", "says 36 bytes, and there are 4"),
        (header((3, 3)) + bytes(40), "says 36 bytes, and there are 40"),
        (header((0, 3)), r"expected a map \(H, W\)"),
        (header((3,)) + bytes(12), r"expected an array \(H, W\), got \(3,\)"),
        (header((1, 3, 3)) + bytes(36), r"expected an array \(H, W\), got \(1, 3, 3\)"),
        (header((2, 2), "<c8") + bytes(32), "expected numbers"),
        (header((2, 2), "|V8") + bytes(32), "expected numbers"),
        (header((2, 2)) + np.full(4, np.nan, "<f4").tobytes(), "finite"),
        (header((2, 2), "<i4") + np.full(4, 5, "<i4").tobytes(), "int32"),
    ],
)
def test_what_is_no_map(tmp_path, content, complaint):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(ManifestError, match=complaint):
        read_arrays(tmp_path)


def zipped(path, members, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_bomb_is_not_unpacked(tmp_path):
    """300 MB of zeros in 300 kB, once declared and once with a size that lies."""
    size = 3 * 10**8
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        member.write(header((5_000, 15_000)))
        for _ in range(size // 10**7):
            member.write(bytes(10**7))
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        declared = archive.getinfo("a.npy").file_size
    lying = tmp_path / "lying.npz"
    lying.write_bytes(content.replace(struct.pack("<L", declared), struct.pack("<L", len(header((4, 4))) + 64)))
    for bomb, complaint in ((path, "300 MB unpacked"), (lying, "Bad CRC-32")):
        tracemalloc.start()
        with pytest.raises(SalignError, match=complaint):
            read_arrays(bomb)
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()


def test_a_stack_of_any_size_is_read_map_by_map(tmp_path):
    """400 MB on paper, in a file with a hole."""
    stack = np.lib.format.open_memmap(tmp_path / "maps.npy", "w+", np.float32, (100, 1000, 1000))
    stack[7, :500] = 0.25
    stack.flush()
    (tmp_path / "ids.txt").write_text("\n".join(f"image {i}" for i in range(100)))
    tracemalloc.start()
    found = read_arrays(tmp_path / "maps.npy", ids=tmp_path / "ids.txt")
    assert tracemalloc.get_traced_memory()[1] < 60e6
    tracemalloc.stop()
    assert [one.image for one in found if one.mask is not None] == ["image 7"]
    assert draw_marks([found[7]], (1000, 1000)).sum() == 0.25 * 500_000


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({}, "expected arrays"),
        ({"a.txt": b"x"}, "expected arrays"),
        ({"a.npy": b"x"}, "cannot be read"),
        ({"maps.npy": header((1, 2, 2)) + bytes(16)}, "expected the arrays maps, ids"),
        ({"maps.npy": header((1, 2, 2)) + bytes(16), "ids.npy": header((1, 2)) + bytes(8)}, "a list of names"),
        (
            {"maps.npy": header((1, 2, 2)) + bytes(16), "ids.npy": header((2,), "<U1") + b"a\0\0\0b\0\0\0"},
            "N ids, got",
        ),
        (
            {"maps.npy": header((1, 2, 2)) + bytes(16), "ids.npy": header((1,), "<U1") + b"\xff\xff\xff\xff"},
            "a list of names",
        ),
    ],
)
def test_what_is_no_archive_of_maps(tmp_path, members, complaint):
    with pytest.raises(SalignError, match=complaint):
        read_arrays(zipped(tmp_path / "a.npz", members))


def test_links_that_leave_the_folder_are_left_out(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps2").mkdir()  # its name begins alike
    np.save(tmp_path / "maps2" / "secret.npy", MASK)
    np.save(tmp_path / "maps" / "a.npy", MASK)
    (tmp_path / "maps" / "b.npy").symlink_to(tmp_path / "maps2" / "secret.npy")
    assert [one.image for one in read_arrays(tmp_path / "maps")] == ["a"]


def test_other_mistakes(tmp_path):
    with pytest.raises(SalignError, match="there is none"):
        read_arrays(tmp_path / "gone.npy")
    with pytest.raises(SalignError, match="found 0"):
        read_arrays(tmp_path)
    (tmp_path / "a.csv").write_text("1")
    with pytest.raises(SalignError, match="another kind"):
        read_arrays(tmp_path / "a.csv")
    np.save(tmp_path / "maps.npy", SOFT)
    with pytest.raises(SalignError, match="an id per line"):
        read_arrays(tmp_path / "maps.npy")
    (tmp_path / "ids.txt").write_text("a\nb\n")
    with pytest.raises(SalignError, match="expected 4 ids"):
        read_arrays(tmp_path / "maps.npy", ids=tmp_path / "ids.txt")
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 but no archive, and longer than its end")
    with pytest.raises(SalignError, match="no archive"):
        read_arrays(tmp_path / "a.npz")


def check(found):
    for one in found:
        values = draw_marks([one], one.size)
        assert 0 <= values.min() <= values.max() <= 1


def test_damaged_arrays(tmp_path):
    good = []
    for values in (MASK, SOFT[0], (SOFT[0] * 255).astype(np.uint8)):
        stream = io.BytesIO()
        np.save(stream, values)
        good.append(stream.getvalue())
    assert survive(tmp_path / "a.npy", good, lambda _: read_arrays(tmp_path), check) > 0


def test_damaged_archives(tmp_path):
    good = []
    for save in (np.savez, np.savez_compressed):
        for content in ({"a": SOFT[0], "b": MASK}, {"maps": SOFT, "ids": np.array(["a", "b", "c", "d"])}):
            stream = io.BytesIO()
            save(stream, **content)
            good.append(stream.getvalue())
    assert survive(tmp_path / "a.npz", good, read_arrays, check) > 0


def test_a_faulty_array_is_left_out_and_the_others_are_read(tmp_path):
    for name, values in {"a": MASK, "b": MASK * 3.0, "c": np.full(MASK.shape, np.nan), "d": MASK[0]}.items():
        np.save(tmp_path / f"{name}.npy", values)
    notes = Notes()
    with pytest.raises(ManifestError, match="3 faults"):
        annotation_format("arrays").read(tmp_path)
    found = annotation_format("arrays").read(tmp_path, notes)
    assert [one.image for one in found] == ["a"]
    assert [fault.column for fault in notes.faults] == ["b", "c", "d"]
