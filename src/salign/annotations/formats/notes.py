"""What a reader reports besides the marks: faults, which are collected to be reported together, and remarks."""

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
"""A file with more faults than this is taken to be of another format."""

Entry = TypeVar("Entry")
Read = TypeVar("Read")
Options = ParamSpec("Options")


class Notes:
    """The faults and remarks that are collected while annotations are read.

    An entry with a fault is left out, and reading goes on with the next entry. The caller of the reader decides whether
    faults make the whole reading fail (`check`) or are only listed.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.remarks: list[str] = []
        """Sentences about what was decided for the user, to be shown to the user."""

    @contextmanager
    def noting(self, where: str) -> Iterator[None]:
        """Note any SalignError of the block as a fault of the file `where` instead of raising it.

        Raises:
            SalignError: there are more than `MOST_FAULTS` faults.
        """
        try:
            yield
        except ManifestError as error:
            self.add(*error.faults)
        except SalignError as error:
            own = PurePosixPath(where).name  # the error's place may begin with the file's name, too
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
        """Read each entry; entries with a fault are noted and left out.

        Args:
            where: the name of the file, for the faults.
            entries: the entries.
            read: a function that returns what an entry holds, or raises a SalignError.

        Returns:
            The results of all entries in one list, and whether no entry had a fault.
        """
        before, results = len(self.faults), list[Read]()
        for entry in entries:
            with self.noting(where):
                results += read(entry)
        return results, len(self.faults) == before

    def check(self, source: str) -> None:
        """Raise all faults together.

        Raises:
            ManifestError: there is at least one fault.
        """
        if self.faults:
            raise ManifestError.of(self.faults, source)


class Reader(Generic[Options]):
    """A decorator that turns `read(path, notes, **options)` into a reader `read(path, **options)`.

    The reader raises all faults together and turns remarks into warnings. `noting(path, notes, **options)` collects
    both in `notes` instead, and returns the annotations without faults.
    """

    def __init__(self, read: Callable[Concatenate[Path, Notes, Options], list[Annotated]]) -> None:
        """Take the function `read(path, notes, **options)`."""
        functools.update_wrapper(self, read)
        self.noting = read

    def __call__(self, path: Path | str, /, *args: Options.args, **options: Options.kwargs) -> list[Annotated]:
        """Read the annotations at a path.

        Raises:
            ManifestError: entries have faults; all faults are listed.
            SalignError: the file or folder as a whole cannot be read.
        """
        notes = Notes()
        annotations = self.noting(Path(path), notes, *args, **options)
        notes.check(str(path))
        for remark in notes.remarks:
            warnings.warn(remark, stacklevel=2)
        return annotations

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options."""
        return tuple(inspect.signature(self.noting).parameters)[2:]


def read_each(path: Path, suffix: str, notes: Notes, read: Callable[[Path, str], list[Annotated]]) -> list[Annotated]:
    """Read one file, or every file of a folder and the folders below it, except hidden files.

    If two files name the same image, both are faults, because one of them must belong to another image.

    Args:
        path: the file or folder.
        suffix: the ending of the files in the folder.
        notes: collects the faults of the files of a folder.
        read: a function of the path of a file and its name relative to the folder, which returns the file's marks.

    Raises:
        SalignError: there is no such file, the single file cannot be read, or the folder has no file with the ending
            or more than `MAX_FILES`.
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
    """Find every file with an ending in a folder and the folders below; see `data.manifest.image_files.files_below`.

    Raises:
        SalignError: there is no such file, or there are more than `MAX_FILES`.
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
    """Return the marks of all entries, except of entries that claim the same image.

    Two entries of one image are a fault, and both are left out, because one of them must have a wrong name.

    Args:
        entries: for each entry its place, for faults, and its marks.
        what: a word for an entry, for faults.
        notes: collects the faults.
        file: the file that holds the entries; None if each entry is a file.
        key: a function of an annotation; no two entries may have annotations with the same key.
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
    """Return the path of an image relative to the folder that is read.

    Args:
        where: the annotation file, relative to the folder that is read.
        image: the path of the image in that file, which may be relative to the file's own folder.
    """
    path = PurePosixPath(image.replace("\\", "/"))
    folder = PurePosixPath(where).parent
    return image if folder == PurePosixPath(".") else normpath(folder / path)
