"""Notebooks executed, pages rendered, the run index."""
