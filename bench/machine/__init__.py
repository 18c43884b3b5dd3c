"""What the machine is, and what a phase of a run takes of it."""
