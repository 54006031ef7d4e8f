"""Nouns and label sets; no image, no array."""
