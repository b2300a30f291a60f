"""salign.annotate: a web page on which people classify and mark images, with its server and its database."""

from salign.index import lazy_index

lazy_index(__name__)
