"""What is done with a run: training it, and every question to a finished one."""
