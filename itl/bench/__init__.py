"""Side-by-side figures: the same work by itl and by what people would use instead, in one run."""
