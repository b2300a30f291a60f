"""The question of a study, written down before its first run, so that readers see that it came before the answer."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from salign.errors import SalignError
from salign.experiment.study import Study
from salign.files import replace_text
from salign.readers import read_json

FILE = "question.json"
"""Name of the file in the folder of a study."""
_PRESENTATION = ("name", "title", "analysis")
"""The keys of a study that change neither its runs nor its conclusion."""
_MOST_BYTES = 10_000_000


class Question(BaseModel):
    """Content of `question.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    date: str
    """Date and time (UTC, ISO 8601) at which the question was written down."""
    finished: int
    """Number of runs that were finished at that time; 0 unless an earlier version of salign began the study."""
    study: dict[str, Any]
    """The study at that time, without the folders in its paths."""

    def changes(self, study: Study) -> list[str]:
        """Return the keys whose values have changed since the question was written down.

        A key that salign did not have at that time is compared with its default.

        Args:
            study: the study as it is now.
        """
        now, usual = content_of(study), {name: field.default for name, field in Study.model_fields.items()}
        return [key for key, value in now.items() if self.study.get(key, usual[key]) != value]


def content_of(study: Study) -> dict[str, Any]:
    """Return the content of a study as JSON, without `name`, `title` and `analysis` and without folders in paths."""
    content = without_folders(study.model_dump(mode="json"))
    return {key: value for key, value in content.items() if key not in _PRESENTATION}


def without_folders(value: Any) -> Any:
    """Replace each absolute path in nested values by its last part, so that no folder of this machine is published."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def note_question(study: Study, folder: Path, finished: int) -> None:
    """Write `question.json`, unless it exists.

    Args:
        study: the study as it is now.
        folder: the folder of the study.
        finished: number of runs that are already finished.
    """
    if not (folder / FILE).exists():
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        question = Question(date=now, finished=finished, study=content_of(study))
        replace_text(folder / FILE, question.model_dump_json(indent=1))


def read_question(folder: Path) -> Question | None:
    """Read `question.json` in the folder of a study; None where there is no such file.

    Raises:
        SalignError: the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        return Question.model_validate(read_json(path, limit=_MOST_BYTES))
    except ValidationError as error:
        raise SalignError(
            f"{path} is damaged: {str(error).splitlines()[0]}. Bring a whole copy; if there is none, delete it, and "
            "the next `salign experiment` writes down what is asked by then."
        ) from error


def question_in_words(study: Study, folder: Path) -> list[str]:
    """Say when the question was written down, and which keys of the study have changed since, in sentences.

    Args:
        study: the study as it is now.
        folder: the folder of the study.

    Raises:
        SalignError: `question.json` is damaged.
    """
    sentences = [f"Success was to be: {study.success.strip()}"] if study.success else []
    question = read_question(folder)
    if question is None:
        return [*sentences, "What was asked before the first run was not written down."]
    when = question.date[:16].replace("T", " ")
    before = "before run 1" if not question.finished else f"when {question.finished} runs were already finished"
    changed = question.changes(study)
    return [*sentences, f"Asked on {when} UTC, {before}; changed since: {', '.join(changed) or 'no'}."]
