"""What numbers may be at most: far above what anybody wants, far below what fills a machine or overflows."""

LONGEST_SIDE = 10_000
"""Pixels of a side of the images that a network is given."""
MOST_PIXELS = 2**24
"""Pixels of such an image."""
LARGEST_BATCH = 100_000
"""Images at a time."""
MOST_WORKERS = 1024
"""Processes that read images, or that train."""
LARGEST_SEED = 2**63 - 1
"""The generators of torch take no larger one."""
