"""Each image decoded once into one array, and index views of it."""
