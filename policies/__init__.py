"""rlgan.policies."""
