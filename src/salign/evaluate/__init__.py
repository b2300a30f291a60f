"""salign.evaluate."""
