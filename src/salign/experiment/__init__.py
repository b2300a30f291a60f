"""Studies: many runs from one YAML, on one machine or a cluster, and the report on what they show."""

from salign.index import lazy_index

lazy_index(__name__)
