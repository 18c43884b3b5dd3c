"""A benchmark harness that compares parameter-efficient fine-tuning methods for text classification."""
