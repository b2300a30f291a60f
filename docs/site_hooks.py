"""Make the pages of docs/ fit for the site: pages from outside of docs/, links to files, and marks of code blocks."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

REPOSITORY = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "examples/notebook.ipynb": "tutorials/notebook.md",
}
"""File of the repository -> its page in the site."""
_BLOCK = re.compile(r"^```(\w+) +(?:file=(\S+)|no-run)$", re.MULTILINE)
_REACHABLE = (
    ('<input class="md-option"', '<input class="md-option" tabindex="-1"'),
    ('data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'),
)
"""Parts of the theme, and what they should be: hidden switches no tabulator stops at, a dialog with a name."""
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie elsewhere in the repository."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(REPOSITORY / source)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to the site's own pages; a link to a file that is no page becomes its text."""
    if page.file.src_uri.endswith("notebook.md"):
        markdown = _from_notebook(markdown)
    markdown = re.sub(r"\A<!--.*?-->\s*", "", markdown)  # else the title is not the first thing, and not found
    source = {ours: theirs for theirs, ours in OUTSIDE.items()}.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder, here = posixpath.dirname(source), posixpath.dirname(page.file.src_uri)

    def lead(match: re.Match[str]) -> str:
        mark, text, target = match.groups()
        path, hash_sign, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        name = posixpath.normpath(posixpath.join(folder, path))
        uri = OUTSIDE.get(name, name.removeprefix("docs/") if name.startswith("docs/") else "")
        if not uri or (files.get_file_from_path(uri) is None and Path(REPOSITORY / name).exists()):
            return text
        return f"{mark}[{text}]({posixpath.relpath(uri, here or '.')}{hash_sign}{anchor})"

    parts, end = [], 0
    for block in _FENCE.finditer(markdown):
        parts += [_LINK.sub(lead, markdown[end : block.start()]), _BLOCK.sub(_titled, block[0])]
        end = block.end()
    return "".join([*parts, _LINK.sub(lead, markdown[end:])])


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Mend a page, from whose folder the site's own files have another address each."""
    return _mended(output, posixpath.relpath("assets", posixpath.dirname(page.file.dest_uri) or "."))


def on_post_template(output: str, *, template_name: str, config: MkDocsConfig) -> str:
    """Mend the page that is shown where there is none."""
    return _mended(output, "/assets")


def _mended(output: str, assets: str) -> str:
    """Put in what the theme leaves out of reach, and take the worker of the search from the site itself."""
    for before, after in (*_REACHABLE, ("https://unpkg.com/iframe-worker/shim", f"{assets}/iframe-worker.js")):
        output = output.replace(before, after)
    return output


def _from_notebook(text: str) -> str:
    """Write the cells of a Jupyter notebook as Markdown, each with what it printed and showed."""
    parts: list[str] = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            parts += [f"```text\n{''.join(output['text']).rstrip()}\n```"] if "text" in output else []
            parts += [f"![What the cell shows](data:image/png;base64,{png})" for png in _pictures(output)]
    return "\n\n".join(parts)


def _pictures(output: dict[str, Any]) -> list[str]:
    return [output["data"]["image/png"]] if "image/png" in output.get("data", {}) else []


def _titled(match: re.Match[str]) -> str:
    """Open a code block that shows the name of its file; whether a test runs it is no matter of the reader."""
    return f"```{match[1]}" + (f' title="{match[2]}"' if match[2] else "")
