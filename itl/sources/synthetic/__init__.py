"""The demo world: images that are rendered."""
