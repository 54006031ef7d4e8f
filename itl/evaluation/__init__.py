"""What a net scores on a target."""
