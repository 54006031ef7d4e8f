"""Frames to answers: statistics, comparisons, published findings, tables, figures, wording."""
