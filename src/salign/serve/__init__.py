"""`salign serve`: a server that answers images with a trained model over HTTP, for a page and for programs."""
