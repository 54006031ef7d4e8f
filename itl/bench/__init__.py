"""What itl does beside what people would use instead, in one run: a file of rows for each kind of work."""
