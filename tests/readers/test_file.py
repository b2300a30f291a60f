"""What is opened as a file: a regular one of a bounded size. Nothing here may wait, so a pipe has no other end."""

import os
import socket

import pytest

from salign.errors import SalignError
from salign.readers import file_digest, open_file, read_bytes, read_text


def pipe(folder):
    os.mkfifo(folder / "it")


def listening(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(folder / "it"))


def link_to(target):
    return lambda folder: (folder / "it").symlink_to(target)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda folder: None, "no such file: .*it"),
        (link_to("gone"), "no such file: .*it"),
        (link_to("it"), "it: cannot be read: Too many levels"),
        (lambda folder: (folder / "it").mkdir(), "it is a folder; expected a file"),
        (pipe, "it is a named pipe; expected a file"),
        (listening, "it is a socket; expected a file"),
        (link_to("/dev/zero"), "it is a device; expected a file"),
    ],
    ids=["none", "broken link", "link in a circle", "folder", "pipe", "socket", "device"],
)
def test_what_is_no_regular_file_is_refused_at_once(make, complaint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket has at most a hundred bytes
    make(type(tmp_path)())
    for read in (open_file, read_bytes, read_text):
        with pytest.raises(SalignError, match=complaint):
            read("it")


def test_a_pipe_that_takes_the_place_of_a_file_does_not_block(tmp_path, monkeypatch):
    """The first look says that it is a file; by the time it is opened it is a pipe that nobody writes to."""
    path = tmp_path / "it"
    os.mkfifo(path)
    file = tmp_path / "file"
    file.write_text("")
    state, looks = file.stat(), []
    monkeypatch.setattr(type(path), "stat", lambda self: looks.append(self) or state)
    with pytest.raises(SalignError, match="it is a named pipe"):
        open_file(path)
    assert looks == [path]


@pytest.mark.parametrize("name", ["a\0b", "n" * 300])
def test_a_name_that_no_file_can_have(name, tmp_path):
    with pytest.raises(SalignError, match=r"cannot be read: (embedded null|File name too long)"):
        read_bytes(tmp_path / name)


def test_the_size_is_bounded(tmp_path):
    path = tmp_path / "it"
    path.write_bytes(b"12345")
    assert read_bytes(path, limit=5) == b"12345"
    with pytest.raises(SalignError, match=r"it: 0\.0 kB; a file of this kind has at most 0\.0 kB"):
        read_bytes(path, limit=4)
    with path.open("wb") as file:
        file.truncate(500_000_001)  # takes no room on the disk
    with pytest.raises(SalignError, match="it: 500 MB; a file of this kind has at most 500 MB"):
        read_bytes(path)
    with open_file(path, limit=None) as file:
        assert file.read(3) == b"\0\0\0"


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="Linux has such files")  # noqa: PTH110
def test_a_file_that_does_not_tell_its_size_is_bounded_too():
    with pytest.raises(SalignError, match=r"maps: a file of this kind has at most 0\.1 kB"):
        read_bytes("/proc/self/maps", limit=100)


def test_text_is_utf_8(tmp_path):
    path = tmp_path / "it"
    path.write_bytes("\ufeffdägen\r\n".encode())
    assert read_text(path) == "dägen\r\n"
    path.write_bytes("dägen".encode("latin-1"))
    with pytest.raises(SalignError, match=r"it is not text in UTF-8: .* position 1"):
        read_text(path)


def test_the_digest_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    # the first example of FIPS 180-2
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SalignError, match="pipe is a named pipe"):
        file_digest(tmp_path / "pipe")
