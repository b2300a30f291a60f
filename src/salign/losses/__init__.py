"""salign.losses."""
