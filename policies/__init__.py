"""The systems on RLlib: one file is one paper."""

from rlgan.policies.seqgan import SeqGAN, SeqGANConfig
from rlgan.policies.seqgan_workers import SeqGANHyperparameters

__all__ = ["SeqGAN", "SeqGANConfig", "SeqGANHyperparameters"]
