"""What a study asked before it was run, so that readers see that the question was there before the answer."""

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
"""The file in the folder of a study."""
_PRESENTATION = ("name", "title", "analysis")
"""Keys of a study that decide neither what is run nor what is concluded."""
_MOST_BYTES = 10_000_000


class Question(BaseModel):
    """Content of `question.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    date: str
    """When it was written: date and time in UTC, ISO 8601."""
    finished: int
    """So many runs were finished by then; 0 unless the study was begun by an earlier version."""
    study: dict[str, Any]
    """The study as it was, without the folders in its paths."""

    def changes(self, study: Study) -> list[str]:
        """The keys in which a study differs by now from what was asked; a key that came later counts by its default.

        Args:
            study: as it is now.
        """
        now, usual = content_of(study), {name: field.default for name, field in Study.model_fields.items()}
        return [key for key, value in now.items() if self.study.get(key, usual[key]) != value]


def content_of(study: Study) -> dict[str, Any]:
    """What a study asks, as JSON: all but its name, its title and how many images are analysed; paths by last names."""
    content = without_folders(study.model_dump(mode="json"))
    return {key: value for key, value in content.items() if key not in _PRESENTATION}


def without_folders(value: Any) -> Any:
    """Absolute paths by their last name: where a machine keeps its files is nobody's business."""
    if isinstance(value, dict):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def note_question(study: Study, folder: Path, finished: int) -> None:
    """Write down what is asked, unless that was done before.

    Args:
        study: as it is now.
        folder: the folder of the study.
        finished: so many runs are finished already.
    """
    if not (folder / FILE).exists():
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        question = Question(date=now, finished=finished, study=content_of(study))
        replace_text(folder / FILE, question.model_dump_json(indent=1))


def read_question(folder: Path) -> Question | None:
    """What was asked before the study in this folder was run; None where nobody wrote it down.

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
    """Sentences on what was asked before the first run, and whether the study is still the same.

    Args:
        study: as it is now.
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
