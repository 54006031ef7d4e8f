"""Which runs, each once."""
