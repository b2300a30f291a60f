"""Give a run away, in a folder or on Hugging Face's hub: its model, cards and figures, but nothing about single images.

Predictions, histories, pages and analyses hold names or pictures of images and are not copied. Recipes keep the names
of files, but lose the folders that the files lie in. If a column of maps is named after an annotator, that name is
removed from the recipe, and from the name of the run if it contains it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from salign.data.manifest.provenance import without_annotator
from salign.errors import SalignError
from salign.files import check_output, replace_text
from salign.models.config import EMBEDDER, ENCODER, NET, WEIGHTS, description_file
from salign.readers import read_text, read_yaml

if TYPE_CHECKING:
    from salign.runs.run import Run

HUB = "hf:"
"""Prefix of a place that is a repository of the hub: `hf:owner/name`."""
_OTHERS = (WEIGHTS, ENCODER, NET, EMBEDDER, "environment.json", "evaluation.csv", "metrics.csv")
_TEXTS = (".md", ".json", ".csv")
"""Suffixes of files in which the name of the run may appear."""


def published_files(run: Run) -> dict[str, Path]:
    """Return the files of a run that are given away: name of the published file -> path in the run folder.

    `recipe.yaml` is published without the folders of its paths.

    Args:
        run: a finished run.
    """
    from salign.runs.card import DATA_CARD, MODEL_CARD  # imports torch, so after `check_place`
    from salign.runs.export import FOLDER as EXPORTED

    names = [MODEL_CARD, DATA_CARD, *_OTHERS, description_file(run.path).name]
    files = {name: run.path / name for name in names if (run.path / name).is_file()}
    files |= {f"{EXPORTED}/{path.name}": path for path in sorted((run.path / EXPORTED).glob("*")) if path.is_file()}
    return files | {"recipe.yaml": run.recipe_file}


def publish(
    run: Run, to: str, *, public: bool = False, say: Callable[[str], None] = print, api: Any | None = None
) -> str:
    """Give a run away; its cards are written anew before.

    Args:
        run: a finished run.
        to: a new folder, or `hf:owner/name`, a repository of the hub, which is created if it does not exist.
        public: whether a new repository is public; otherwise only its owner can see it.
        say: receives lines for the user.
        api: a `huggingface_hub.HfApi`; None = the default one, with the token that `hf auth login` stored.

    Returns:
        The path of the folder, or the URL of the repository.

    Raises:
        SalignError: the folder is not empty, or the hub refuses.
    """
    from salign.runs.card import refresh_cards

    check_place(to)
    refresh_cards(run, say)
    if not to.startswith(HUB):
        folder = Path(to)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".published-", dir=folder.parent) as staged:
            _stage(run, Path(staged) / "run")
            if folder.is_dir():
                folder.rmdir()  # it is empty
            (Path(staged) / "run").rename(folder)
        return str(folder)
    with tempfile.TemporaryDirectory() as staged:
        name = without_annotator(run.path.name, run.recipe.data.map_column)
        return _upload(_stage(run, Path(staged) / "run"), to.removeprefix(HUB), name, public, api)


def check_place(to: str) -> None:
    """Refuse a place that a run cannot be given away to.

    Raises:
        SalignError: a repository name is not of the form `hf:owner/name`, or a folder is not empty or cannot be written
            to.
    """
    if to.startswith(HUB):
        owner, _, name = to.removeprefix(HUB).partition("/")
        if not owner or not name or "/" in name:
            raise SalignError(f"--to: expected a folder or hf:OWNER/NAME, got {to!r}.")
        return
    check_output(Path(to), folder=True)
    if Path(to).is_dir() and any(Path(to).iterdir()):
        raise SalignError(f"{to} holds files already, and nothing is written over; give a new folder.")


def _stage(run: Run, folder: Path) -> Path:
    column = run.recipe.data.map_column
    for name, source in published_files(run).items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source == run.recipe_file:
            replace_text(target, yaml.safe_dump(_in_public(read_yaml(source), column), sort_keys=False))
        elif source.suffix in _TEXTS and (public := without_annotator(text := read_text(source), column)) != text:
            replace_text(target, public)
        else:
            shutil.copyfile(source, target)
    return folder


def _in_public(value: Any, column: str) -> Any:
    """Return a recipe's values with absolute paths cut to file names, and the annotator's name of `column` removed."""
    if isinstance(value, dict):
        return {key: _in_public(inner, column) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_public(inner, column) for inner in value]
    if not isinstance(value, str):
        return value
    return without_annotator(Path(value).name if Path(value).is_absolute() else value, column)


def _upload(folder: Path, repository: str, name: str, public: bool, api: Any | None) -> str:
    from huggingface_hub import HfApi

    api = HfApi() if api is None else api
    try:
        url = api.create_repo(repository, private=not public, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"salign publish {name}")
    except (OSError, ValueError) as error:  # the hub's own errors derive from these
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise SalignError(
            f"the hub did not take {repository}: {reason}. Log in by `hf auth login` with a token that may write, and "
            "give the same command again."
        ) from error
    return str(url)
