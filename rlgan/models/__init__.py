"""Nets."""

from rlgan.models.recurrent import RecurrentConfig, RecurrentGenerator
from rlgan.models.text_cnn import TextCNN, TextCNNConfig

__all__ = ["RecurrentConfig", "RecurrentGenerator", "TextCNN", "TextCNNConfig"]
