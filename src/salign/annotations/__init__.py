"""Annotations: turning the marks that people drew into maps, and maps back into marks for annotation tools."""

from salign.index import lazy_index

lazy_index(__name__)
