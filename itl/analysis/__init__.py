"""From results to answers: statistics, comparisons, published findings, tables, figures, wording."""
