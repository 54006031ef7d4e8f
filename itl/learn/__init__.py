"""Nets and the one training loop."""
