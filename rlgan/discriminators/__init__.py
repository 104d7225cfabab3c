"""Discriminators: a net, the loss it minimises and what it pays, one file each."""

from rlgan.discriminators.text_cnn import TextCNNDiscriminator, TextCNNDiscriminatorConfig

__all__ = ["TextCNNDiscriminator", "TextCNNDiscriminatorConfig"]
