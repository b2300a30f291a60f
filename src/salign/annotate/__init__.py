"""salign.annotate: a page on which people answer and mark images, and the server and store behind it."""

from salign.index import lazy_index

lazy_index(__name__)
