"""salign.data.sources."""
