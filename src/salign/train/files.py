"""Names of the files that training writes into a run folder."""

METRICS = "metrics.csv"
"""This file has a row of figures for each epoch."""
RESUME = "resume.ckpt"
"""This file holds everything that is needed to resume the training after the last epoch or step that it saved."""
