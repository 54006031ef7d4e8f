"""Batches, crops (on a CPU and by Triton), nets, the one training loop, checkpoints."""
