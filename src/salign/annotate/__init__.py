"""salign.annotate: a page on which people answer and mark images, and the server and store behind it."""
