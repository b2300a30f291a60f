"""salign.annotate.store: the database of a study, with the invites and the owner's comments."""

from typing import TYPE_CHECKING

from salign.index import lazy_index

if TYPE_CHECKING:
    from salign.annotate.store.comments import Changed as Changed, Comments as Comments
    from salign.annotate.store.links import LinkClosed as LinkClosed, Links as Links
    from salign.annotate.store.store import KeyReused as KeyReused, Store as Store

lazy_index(__name__)
