"""Everything that is done with a run: its training, and all evaluations of a finished run."""

from salign.index import lazy_index

lazy_index(__name__)
