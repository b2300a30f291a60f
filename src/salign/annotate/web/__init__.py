"""The annotation server: routes, callers, guard."""
