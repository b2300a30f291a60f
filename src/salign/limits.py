"""Upper limits of numbers: far above what anybody needs, far below what fills a machine's memory or overflows."""

LONGEST_SIDE = 10_000
"""The most pixels of a side of the images that a network is given."""
MOST_PIXELS = 2**24
"""The most pixels of an image that a network is given, height times width."""
LARGEST_BATCH = 100_000
"""The most images of a batch."""
MOST_WORKERS = 1024
"""The most processes that read images, or that train."""
LARGEST_SEED = 2**63 - 1
"""The largest seed that the generators of torch take."""
