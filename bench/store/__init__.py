"""What is kept of each run, and by whom it is being made."""
