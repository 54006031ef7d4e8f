"""Side-by-side figures: what itl does beside what people would use instead, in one process run."""
