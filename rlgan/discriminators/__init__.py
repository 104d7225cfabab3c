"""rlgan.discriminators."""
