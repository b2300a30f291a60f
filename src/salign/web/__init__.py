"""Code that all servers of salign share: the socket, and the checks before each request."""
