"""rlgan.objectives."""
