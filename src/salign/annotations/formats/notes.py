"""What a reader has to say beside the marks: faults, gathered so that all are told at once, and remarks."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Concatenate, Generic, ParamSpec, TypeVar

from salign.annotations.annotated import Annotated
from salign.annotations.formats.fields import MAX_FILES
from salign.data.manifest import Fault, ManifestError
from salign.data.manifest.image_files import files_below
from salign.errors import SalignError

MOST_FAULTS = 100_000
"""A file with more of them is not of the format that it is read as."""

Entry = TypeVar("Entry")
Read = TypeVar("Read")
Options = ParamSpec("Options")


class Notes:
    """Faults and remarks of what is read.

    An entry with a fault is left out, and reading goes on with the next one. Whoever asked for the marks decides
    whether the faults refuse everything (`check`) or are listed.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.remarks: list[str] = []
        """Sentences about what was decided for the user, to be said aloud."""

    @contextmanager
    def noting(self, where: str) -> Iterator[None]:
        """Note what is wrong inside, under the name of its file, instead of raising it.

        Raises:
            SalignError: there are more than `MOST_FAULTS`.
        """
        try:
            yield
        except ManifestError as error:
            self.add(*error.faults)
        except SalignError as error:
            own = PurePosixPath(where).name  # the place inside of a file begins with the name of the file
            self.add(Fault(None, where, str(error).removeprefix(f"{own}: ")))

    def add(self, *faults: Fault) -> None:
        """Note faults; errors as for `noting`."""
        self.faults += faults
        if len(self.faults) > MOST_FAULTS:
            listed = ManifestError.of(self.faults, "what is read")
            raise SalignError(f"more than {MOST_FAULTS:,} faults: is it this format?\n{listed}")

    def each(
        self, where: str, entries: Iterable[Entry], read: Callable[[Entry], Iterable[Read]]
    ) -> tuple[list[Read], bool]:
        """What `read` makes of each entry, the faulty ones left out; and whether none was faulty."""
        before, results = len(self.faults), list[Read]()
        for entry in entries:
            with self.noting(where):
                results += read(entry)
        return results, len(self.faults) == before

    def check(self, source: str) -> None:
        """Raise all faults together.

        Raises:
            ManifestError: there is one.
        """
        if self.faults:
            raise ManifestError.of(self.faults, source)


class Reader(Generic[Options]):
    """A reader as others call it: `read(path, **options)` raises all faults at once and gives remarks as warnings.

    `noting(path, notes, **options)` puts both into notes, and gives what is left.
    """

    def __init__(self, read: Callable[Concatenate[Path, Notes, Options], list[Annotated]]) -> None:
        """Take `read(path, notes, **options)`."""
        functools.update_wrapper(self, read)
        self.noting = read

    def __call__(self, path: Path | str, /, *args: Options.args, **options: Options.kwargs) -> list[Annotated]:
        """Read a path; of what is faulty, all is said at once.

        Raises:
            ManifestError: everything that is wrong with entries.
            SalignError: what is wrong with the whole.
        """
        notes = Notes()
        annotations = self.noting(Path(path), notes, *args, **options)
        notes.check(str(path))
        for remark in notes.remarks:
            warnings.warn(remark, stacklevel=2)
        return annotations

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options."""
        return tuple(inspect.signature(self.noting).parameters)[2:]


def read_each(path: Path, suffix: str, notes: Notes, read: Callable[[Path, str], list[Annotated]]) -> list[Annotated]:
    """Read one file, or every file of a folder and the folders below (hidden ones left out); faults are noted.

    Two files that say to be of the same image are faults: one of them bears the name of another image.

    Args:
        path: the file or folder.
        suffix: ending of the files in the folder.
        notes: takes what is wrong.
        read: gives the marks of a file, from its path and from its name below the folder.

    Raises:
        SalignError: there is no such file, or none in the folder.
    """
    if not path.is_dir():
        return read(path, path.name)
    entries: list[tuple[str, list[Annotated]]] = []
    for file in files_of(path, suffix):
        where = file.relative_to(path).as_posix()
        with notes.noting(where):
            entries.append((where, [replace(annotation, source=where) for annotation in read(file, where)]))
    return once_each(entries, "file", notes)


def files_of(folder: Path, suffix: str) -> list[Path]:
    """Every file of a folder and the folders below with this ending; see `data.manifest.image_files.files_below`.

    Raises:
        SalignError: there is none, or more than `MAX_FILES`.
    """
    files = files_below(folder, suffix)
    if not files or len(files) > MAX_FILES:
        raise SalignError(f"{folder}: expected 1 to {MAX_FILES:,} files *{suffix}, found {len(files)}")
    return files


def once_each(
    entries: Iterable[tuple[str, list[Annotated]]],
    what: str,
    notes: Notes,
    *,
    file: str | None = None,
    key: Callable[[Annotated], Hashable] = lambda annotation: annotation.image,
) -> list[Annotated]:
    """The marks of all entries; two entries of one image are a fault, and both are left out: one bears a wrong name.

    Args:
        entries: the place of each, and its marks.
        what: an entry in a word.
        notes: takes the faults.
        file: in which the entries are, where they are no files.
        key: what only one entry may have.
    """
    unique: dict[int, list[Annotated]] = {}
    names: list[str] = []
    first: dict[Hashable, int] = {}
    for number, (name, marks) in enumerate(entries):
        names.append(name)
        unique[number] = marks
        for mine, image in {key(annotation): annotation.image for annotation in marks}.items():
            if (other := first.setdefault(mine, number)) != number:
                unique.pop(other, None)
                unique.pop(number, None)
                where = f"{file}: {name}" if file else name
                notes.add(Fault(None, where, f"is of {image}, and so is {names[other]}; each image has one {what}"))
    return [annotation for marks in unique.values() for annotation in marks]


def beside(where: str, image: str) -> str:
    """The path of an image that a file says, which may be relative to the folder of that file, as a path below ours."""
    path = PurePosixPath(image.replace("\\", "/"))
    folder = PurePosixPath(where).parent
    return image if folder == PurePosixPath(".") else normpath(folder / path)
