"""The systems on RLlib: one file is one paper."""

from rlgan.policies.seqgan import SeqGAN, SeqGANConfig, SeqGANHyperparameters

__all__ = ["SeqGAN", "SeqGANConfig", "SeqGANHyperparameters"]
