"""salign.maps."""
