"""What CI asks of a change."""
