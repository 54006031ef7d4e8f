"""Side-by-side figures: the same work by itl and by its alternatives, in one run."""
