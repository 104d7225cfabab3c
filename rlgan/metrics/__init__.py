"""rlgan.metrics."""
