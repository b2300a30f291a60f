"""salign.train."""
