"""The annotation server: its routes, and the identification of callers."""
