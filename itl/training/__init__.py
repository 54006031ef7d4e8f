"""Batches, crops (CPU, Triton), nets, the one loop, checkpoints."""
