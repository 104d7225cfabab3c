"""rlgan.launch."""
