"""From a folder of images, and perhaps a YAML, to a study that runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from salign.annotate.catalog import Catalog
from salign.annotate.collection import Collection
from salign.annotate.store_file import database_in
from salign.annotate.study import Study
from salign.errors import SalignError
from salign.files import check_output, replace_text
from salign.location import quote


def open_collection(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    config: Path | str | None = None,
    manifest: Path | str | None = None,
    url: str | None = None,
    begin: bool = True,
    **over: Any,
) -> Collection:
    """Open the study of a folder, or begin one.

    Args:
        folder: the images, and the root of the manifest's paths.
        out: folder of the study; `folder/annotations` when None.
        config: YAML; when None that of the study as it was last opened, else `folder/annotate.yaml`, else defaults.
        manifest: lists the images; when None it is `folder/manifest.csv`, else every image below the folder.
        url: address of the database; SQLite in the study's folder when None.
        begin: make a study where there is none.
        over: values of `Study` that win over the YAML, unless they are None.

    Raises:
        SalignError: every fault of the YAML, what does not fit together, or no study where none may be begun.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise SalignError(f"no such folder: {folder}")
    home = Path(out).resolve() if out is not None else root / "annotations"
    settings = home / "study.yaml"
    if not begin and url is None and not database_in(home).is_file():
        raise SalignError(
            f"{home}: nobody has annotated here yet. Next: salign annotate {quote(folder)}; or say where the study is "
            "(--out), or its answers are (--db)"
        )
    check_output(home, folder=True)
    if config is None:
        config = next((path for path in (settings, root / "annotate.yaml") if path.is_file()), None)
    if config is None:
        study = Study.build({key: value for key, value in over.items() if value is not None}, "options")
    else:
        study = Study.read(config, **over)
    if study.drafts is not None:
        beside = Path(config).parent if config is not None else Path()
        study = study.model_copy(update={"drafts": str((beside / study.drafts).resolve())})
    if manifest is None and (root / "manifest.csv").is_file():
        manifest = root / "manifest.csv"
    catalog = (
        Catalog.of_folder(root, _folders(study, config == settings), without=home)
        if manifest is None
        else Catalog.of_manifest(manifest, root)
    )
    if over.get("classes"):
        _check_case(over["classes"], catalog.labels)
    try:
        collection = Collection(study, catalog, home, url)
        replace_text(settings, study.to_yaml())  # last: what does not fit together is not kept
    except OSError as error:
        raise SalignError(f"{home}: a study cannot be kept here: {error.strerror or error}") from error
    return collection


def _check_case(answers: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse answers that are labels of the images but for the case of letters: none of them would ever be right."""
    for answer in answers:
        label = next((label for label in labels if label.casefold() == answer.casefold()), answer)
        if label != answer and answer not in labels:
            raise SalignError(
                f"--class {quote(answer)}: the images have the label {label!r}, and the case of letters counts; "
                f"give --class {quote(label)}"
            )


def _folders(study: Study, begun: bool) -> str:
    """What folders say; nothing in a study of pairs begun before they did, for its pairs would be others now."""
    older = begun and "folders" not in study.model_fields_set and study.mode == "pair"
    return "none" if older else study.folders
