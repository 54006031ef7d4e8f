"""Images whose folders say their split and class."""
