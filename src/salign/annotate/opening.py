"""Opening a study: from a folder of images, and perhaps a YAML file, to a `Collection`."""

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
        folder: the folder of the images, which is also the root of the manifest's paths.
        out: folder of the study; `folder/annotations` when None.
        config: YAML file with the settings. When None, the settings with which the study was last opened are used, else
            `folder/annotate.yaml`, else the defaults.
        manifest: table that lists the images. When None, it is `folder/manifest.csv`; without that file, every image
            below the folder is used.
        url: address of the database; when None, it is a SQLite file in the folder of the study.
        begin: whether to begin a study if there is none.
        over: values of `Study` that replace those of the YAML, unless they are None.

    Raises:
        SalignError: the YAML has faults (the message lists all), settings, images and database do not fit together, or
            there is no study and `begin` is false.
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
        replace_text(settings, study.to_yaml())  # last, so that settings that do not fit are not kept
    except OSError as error:
        raise SalignError(f"{home}: a study cannot be kept here: {error.strerror or error}") from error
    return collection


def _check_case(answers: Sequence[str], labels: Sequence[str]) -> None:
    """Refuse classes that equal a label of the images except for the case: no answer of theirs would ever be right."""
    for answer in answers:
        label = next((label for label in labels if label.casefold() == answer.casefold()), answer)
        if label != answer and answer not in labels:
            raise SalignError(
                f"--class {quote(answer)}: the images have the label {label!r}, and the case of letters counts; "
                f"give --class {quote(label)}"
            )


def _folders(study: Study, begun: bool) -> str:
    """Return the setting `folders` of a study; `none` for an older study of pairs.

    A study of pairs that was begun before there was this setting drew its pairs without labels from folders. With
    labels it would draw other pairs now.
    """
    older = begun and "folders" not in study.model_fields_set and study.mode == "pair"
    return "none" if older else study.folders
