"""Reading XML safely, without document types, entities or access to other files; values become checked fields."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from salign.annotations.formats.fields import Field, read_bytes
from salign.errors import SalignError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def elements(path: Path) -> Iterator[Element]:
    """Yield every element of a file as soon as it is complete.

    The children of the outermost element are removed from it one after another, which saves memory.

    Raises:
        SalignError: the file is not XML, has a document type or entities, or is nested too deeply.
    """
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    content = read_bytes(path)
    depth = 0
    try:
        for event, element in ElementTree.iterparse(BytesIO(content), events=("start", "end"), forbid_dtd=True):
            if event == "start":
                depth += 1
                if depth == 1:
                    top = element
                if depth > 100:
                    raise SalignError(f"{path}: nested too deeply to be an annotation file")
                continue
            depth -= 1
            yield element
            if depth == 1:
                top.remove(element)
    except DefusedXmlException as error:
        raise SalignError(f"{path}: a document type or entities are not read in annotation files ({error})") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise SalignError(f"{path} is not XML: {error}") from error


def root_of(path: Path) -> Element:
    """Return the outermost element of a small file with all it contains; errors as for `read_bytes` and `parse`."""
    return parse(read_bytes(path), str(path))


def parse(content: bytes, where: str) -> Element:
    """Return the outermost element of a document in memory.

    Raises:
        SalignError: the document is not XML, or has a document type or entities.
    """
    from defusedxml import ElementTree
    from defusedxml.common import DefusedXmlException

    try:
        return ElementTree.fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise SalignError(f"{where}: a document type or entities are not read in annotation files ({error})") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise SalignError(f"{where} is not XML: {error}") from error


def attributes(element: Element, where: str) -> Field:
    """Return the attributes of an element as a field."""
    return Field(dict(element.attrib), f"{where}: <{element.tag[:40]}>")


def text_of(element: Element, name: str, where: str) -> Field:
    """Return the text of the child called `name`.

    Raises:
        SalignError: there is no such child.
    """
    text = element.findtext(name)
    if text is None:
        raise SalignError(f"{where}: <{element.tag[:40]}> has no <{name}>")
    return Field(text.strip(), f"{where}: <{name}>")
