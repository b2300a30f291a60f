"""HTML pages and their blocks: sections, texts, tables, plots, pictures and the gallery."""

from salign.index import lazy_index

lazy_index(__name__)
