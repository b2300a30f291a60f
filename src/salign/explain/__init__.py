"""salign.explain."""
