"""A pretrained model, and how it is computed."""
