"""rlgan.models."""
