"""rlgan.envs."""
