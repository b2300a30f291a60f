"""From what people drew to maps, and back."""

from salign.index import lazy_index

lazy_index(__name__)
