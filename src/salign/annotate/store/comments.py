"""The owner's comments on answers, and answers that are sent back to the annotator."""

from __future__ import annotations

import time

import sqlalchemy as sa

from salign.annotate.records import Mistaken
from salign.annotate.rows import Comment
from salign.annotate.store.store import Store, read_comments
from salign.annotate.store.tables import COMMENTS, TASKS


class Changed(Mistaken):
    """The answer was saved again after the owner looked at it."""


class Comments:
    """The comments on the answers of a study. Comments are never changed or deleted."""

    def __init__(self, store: Store) -> None:
        """Keep the comments in `store`."""
        self._store = store

    def add(self, task: int, revision: int, text: str, back: bool) -> None:
        """Store a comment, and send the task back to its annotator if `back` is true.

        The annotator then reads the comment, and can save again. The earlier save stays.

        Args:
            task: number of the task.
            revision: number of the save that the owner saw.
            text: the comment.
            back: whether to send the task back.

        Raises:
            Changed: another save counts by now; nothing is stored.
        """
        with self._store.writing() as connection:
            row = TASKS.c.id == task
            latest = connection.execute(sa.select(TASKS.c.revision).where(row).with_for_update()).scalar()
            if latest != revision or not revision:
                raise Changed("the annotator has changed this answer meanwhile: look at it again")
            values = {"task": task, "revision": revision, "text": text, "back": back, "created": time.time()}
            connection.execute(COMMENTS.insert().values(values))
            if back:
                connection.execute(TASKS.update().where(row).values(state="returned"))

    def by_task(self) -> dict[int, list[Comment]]:
        """Return all comments by task, oldest first."""
        comments: dict[int, list[Comment]] = {}
        with self._store.reading() as connection:
            for comment in read_comments(connection):
                comments.setdefault(comment.task, []).append(comment)
        return comments

    def why_back(self, task: int) -> str:
        """Return the comment with which a task was last sent back; empty if it never was."""
        query = sa.select(COMMENTS.c.text).where((COMMENTS.c.task == task) & COMMENTS.c.back)
        with self._store.reading() as connection:
            return str(connection.execute(query.order_by(COMMENTS.c.id.desc())).scalar() or "")
