"""The systems on RLlib: one file is one paper."""

from rlgan.policies.began import BEGAN, BEGANConfig
from rlgan.policies.began_workers import BEGANHyperparameters
from rlgan.policies.bgan import BGAN, BGANConfig
from rlgan.policies.bgan_settings import BGANHyperparameters
from rlgan.policies.maskgan import MaskGAN, MaskGANConfig
from rlgan.policies.maskgan_workers import MaskGANHyperparameters
from rlgan.policies.ppgn import PPGN, PPGNConfig
from rlgan.policies.ppgn_settings import PPGNHyperparameters
from rlgan.policies.seqgan import SeqGAN, SeqGANConfig
from rlgan.policies.seqgan_workers import SeqGANHyperparameters

__all__ = [
    "BEGAN",
    "BGAN",
    "PPGN",
    "BEGANConfig",
    "BEGANHyperparameters",
    "BGANConfig",
    "BGANHyperparameters",
    "MaskGAN",
    "MaskGANConfig",
    "MaskGANHyperparameters",
    "PPGNConfig",
    "PPGNHyperparameters",
    "SeqGAN",
    "SeqGANConfig",
    "SeqGANHyperparameters",
]
