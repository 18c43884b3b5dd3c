"""Runs as processes."""
