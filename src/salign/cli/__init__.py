"""salign.cli."""
