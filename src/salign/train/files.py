"""Names of the files that training writes into a run folder."""

METRICS = "metrics.csv"
"""This file has a row of figures per epoch."""
RESUME = "resume.ckpt"
"""This file holds everything needed to go on after the last finished epoch."""
