"""Pixels: sources, packs, subsets and batches."""
