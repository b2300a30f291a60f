"""Names that are imported when they are first used: the public names of a package, and tables of classes."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import sys
from collections import UserDict
from collections.abc import Iterator, Mapping
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar, cast

from salign.moved import MOVED_NAMES, moved_names

T = TypeVar("T")


def lazy_index(package: str) -> None:
    """Let a package import its public names when they are first used, while type checkers still know what they are.

    The call is the last line of an `__init__.py`, which lists each name once:

        if TYPE_CHECKING:
            from salign.maps.outline import outline as outline

        lazy_index(__name__)

    The public names are those imported in that block and those that the file assigns itself; `__all__` holds all of
    them. Modules of the package are found as attributes, too. Where a module and a public name are spelled alike, the
    attribute is the public name.

    Args:
        package: the dotted name of the package whose `__init__.py` is being run.
    """
    module = sys.modules[package]
    body = _body(module.__spec__)
    blocks = [node.body for node in body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block if isinstance(node, ast.ImportFrom)]
    homes = {alias.name: str(node.module) for node in imports for alias in node.names if alias.asname == alias.name}
    values = [node for node in body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [node.targets[0] if isinstance(node, ast.Assign) else node.target for node in values]
    own = {target.id for target in targets if isinstance(target, ast.Name) and not target.id.startswith("_")}
    vars(module).update(_homes=homes, __all__=sorted({*homes, *own}))
    module.__class__ = _Index


class _Index(ModuleType):
    """The class of a package whose public names are imported when they are asked for."""

    _homes: dict[str, str]

    def __getattr__(self, name: str) -> Any:
        if name in self._homes:
            return getattr(importlib.import_module(self._homes[name]), name)
        if not name.startswith("_") and importlib.util.find_spec(f"{self.__name__}.{name}") is not None:
            return importlib.import_module(f"{self.__name__}.{name}")
        if name in MOVED_NAMES.get(self.__name__, {}):
            return moved_names(self.__name__, stacklevel=3)(name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}; it has {', '.join(self.__all__)}")

    def __setattr__(self, name: str, value: object) -> None:
        """Bind an attribute, except that an imported module does not replace a public name of the same spelling."""
        if not (isinstance(value, ModuleType) and name in self._homes):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        special = [name for name in vars(self) if name.startswith("__")]
        modules = [module.name for module in pkgutil.iter_modules(self.__path__)]
        return sorted({*special, *self.__all__, *modules})


def _body(spec: ModuleSpec | None) -> list[ast.stmt]:
    """Return the statements of a module, whose source its loader finds in a folder or in a zip."""
    # the loader of a zip has the methods of InspectLoader, though it is no subclass of it
    loader = cast(InspectLoader | None, spec and spec.loader)
    source = loader.get_source(spec.name) if spec and loader else None
    if source is None:
        raise ImportError(f"{spec and spec.name}: its names are read from its source, and there is none")
    return ast.parse(source).body


class LazyTable(UserDict[str, T]):
    """Table of name -> class; a class may be given as `module:Class` and is then imported when it is looked up.

    So the names are known at once, and the classes are loaded when they are needed.
    """

    def __init__(self, content: Mapping[str, str | T]) -> None:
        super().__init__()
        self.data = cast(dict[str, T], dict(content))

    def __getitem__(self, name: str) -> T:
        content: Any = self.data[name]
        if isinstance(content, str):
            module, _, attribute = content.partition(":")
            self.data[name] = content = getattr(importlib.import_module(module), attribute)
        return cast(T, content)

    def keywords(self, name: str) -> list[str]:
        """Return the names of a class's keyword arguments in order, without importing the class for it."""
        content: Any = self.data[name]
        if isinstance(content, str):
            return [argument.arg for _, init in self.sources(name)[:1] for argument in init.args.kwonlyargs]
        return [each.name for each in inspect.signature(content).parameters.values() if each.kind == each.KEYWORD_ONLY]

    def sources(self, name: str) -> list[tuple[list[ast.stmt], ast.FunctionDef]]:
        """Return the `__init__` of a class and those of its bases, each with the statements of its module.

        The sources are read without importing the class. The list begins with the class itself and follows the first
        base of each class within salign. It is empty for a class that was imported before.
        """
        content: Any = self.data[name]
        return list(_sources(*content.split(":"))) if isinstance(content, str) else []


def _sources(module: str, name: str) -> Iterator[tuple[list[ast.stmt], ast.FunctionDef]]:
    body = _body(importlib.util.find_spec(module))
    definition = next((node for node in body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if definition is None:
        return
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            yield body, node
    base = ast.unparse(definition.bases[0]) if definition.bases else ""
    imports = [node for node in body if isinstance(node, ast.ImportFrom)]
    home = next((node.module for node in imports if any(alias.name == base for alias in node.names)), module)
    if str(home).startswith("salign."):
        yield from _sources(str(home), base)
