"""The HTML pages: sections, tiles, tables, pictures."""

from salign.index import lazy_index

lazy_index(__name__)
