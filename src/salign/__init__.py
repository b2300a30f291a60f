"""salign."""
