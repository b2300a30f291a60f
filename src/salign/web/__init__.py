"""What every server of salign shares: its socket, and what stands before each request."""
