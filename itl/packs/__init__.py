"""Every image once in one array, and index views of it."""
