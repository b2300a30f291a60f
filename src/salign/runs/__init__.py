"""What is done with a run: training it, and every question to a finished one."""

from salign.index import lazy_index

lazy_index(__name__)
