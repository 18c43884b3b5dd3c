"""Texts in, tokenised and fingerprinted splits out."""
