"""What all pages of salign share: a single HTML file with a common style that opens offline, with all text escaped."""

from __future__ import annotations

from importlib.resources import files
from numbers import Real
from pathlib import Path
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from salign.files import replacing
from salign.maps.render import png_data_uri, thumbnail


def write_html(path: Path, package: str, template: str, **content: Any) -> Path:
    """Fill a template that extends `page.html`, and write it in one step.

    Args:
        path: The HTML file; its folder is created, and an older file is replaced.
        package: The package that holds the template, for example `salign.pages`.
        template: File name of the template.
        content: The values that the template shows; `title` and `intro` are used by `page.html`.

    Returns:
        The path written.
    """
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(lambda name: files("salign.pages").joinpath(name).read_text("utf-8")),
    )
    environment.globals["file"] = lambda name: Markup(files("salign.pages").joinpath(name).read_text("utf-8"))
    environment.filters |= {"uri": png_data_uri, "thumbnail": thumbnail}
    environment.tests["numeric"] = lambda cell: isinstance(cell, Real) and not isinstance(cell, bool)
    filled = environment.from_string(files(package).joinpath(template).read_text("utf-8"))
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as stream:
        stream.writelines(filled.generate(**content))
    return path
