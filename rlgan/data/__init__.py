"""rlgan.data."""
