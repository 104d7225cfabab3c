"""rlgan trains generators of discrete things against a learned critic, as reinforcement learning, on Ray."""

__version__ = "0.1.0"
