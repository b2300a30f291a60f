"""From rows of a manifest to batches: files read, images and maps transformed together."""
