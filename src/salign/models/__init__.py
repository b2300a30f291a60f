"""salign.models."""
