"""salign.data."""
