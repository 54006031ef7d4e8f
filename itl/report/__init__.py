"""Executing notebooks, rendering pages, and the run index."""
