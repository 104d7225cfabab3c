"""The systems on RLlib: one file is one paper."""

from rlgan.policies.began import BEGAN, BEGANConfig
from rlgan.policies.began_workers import BEGANHyperparameters
from rlgan.policies.bgan import BGAN, BGANConfig
from rlgan.policies.bgan_workers import BGANHyperparameters
from rlgan.policies.maskgan import MaskGAN, MaskGANConfig
from rlgan.policies.maskgan_workers import MaskGANHyperparameters
from rlgan.policies.seqgan import SeqGAN, SeqGANConfig
from rlgan.policies.seqgan_workers import SeqGANHyperparameters

__all__ = [
    "BEGAN",
    "BGAN",
    "BEGANConfig",
    "BEGANHyperparameters",
    "BGANConfig",
    "BGANHyperparameters",
    "MaskGAN",
    "MaskGANConfig",
    "MaskGANHyperparameters",
    "SeqGAN",
    "SeqGANConfig",
    "SeqGANHyperparameters",
]
