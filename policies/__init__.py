"""The systems on RLlib: one file is one paper."""

from rlgan.policies.maskgan import MaskGAN, MaskGANConfig
from rlgan.policies.maskgan_workers import MaskGANHyperparameters
from rlgan.policies.seqgan import SeqGAN, SeqGANConfig
from rlgan.policies.seqgan_workers import SeqGANHyperparameters

__all__ = ["MaskGAN", "MaskGANConfig", "MaskGANHyperparameters", "SeqGAN", "SeqGANConfig", "SeqGANHyperparameters"]
