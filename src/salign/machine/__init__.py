"""Machine annotators: models and explainers that draw maps."""
