"""Nets."""

from rlgan.models.recurrent import Dropout, RecurrentConfig, RecurrentGenerator
from rlgan.models.text_cnn import TextCNN, TextCNNConfig

__all__ = ["Dropout", "RecurrentConfig", "RecurrentGenerator", "TextCNN", "TextCNNConfig"]
