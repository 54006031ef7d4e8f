"""Which runs a question needs, each done once."""
