"""`salign serve`: a trained model answers over HTTP, to a page and to programs."""
