"""Machine annotators: models and explainers that draw maps."""

from salign.index import lazy_index

lazy_index(__name__)
