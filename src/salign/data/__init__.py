"""Images, labels and maps before a network sees them: manifest, reading, controls, shortcuts and checks."""

from salign.index import lazy_index

lazy_index(__name__)
