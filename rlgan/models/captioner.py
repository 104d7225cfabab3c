"""A captioner of images: a small CNN and an LSTM that sees its features beside every word (LRCN, arXiv:1411.4389)."""

# N images, C channels, H height, W height and words, T words with the end, F features

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.captions import END
from rlgan.image_types import ImageSpace
from rlgan.models.image_classifier import ImageClassifier, ImageClassifierConfig
from rlgan.models.initial_values import initialise


class CaptionerConfig(BaseModel):
    """Sizes of `Captioner`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    channels: int = Field(
        16, ge=1, le=1024, description="Filters of the first convolution; the second has twice as many."
    )
    features: int = Field(128, ge=1, le=10_000, description="Numbers of an image that the LSTM sees (LRCN: 1000).")
    embedding_size: int = Field(32, ge=1, le=10_000, description="Width of a word (LRCN: 1000).")
    hidden_size: int = Field(64, ge=1, le=10_000, description="Width of the LSTM (LRCN: 1000).")


class Captioner(nn.Module):
    """log p(w_t | w_<t, x) for every t at once, given the whole caption."""

    def __init__(self, space: ImageSpace, num_words: int, config: CaptionerConfig, init: torch.Generator) -> None:
        super().__init__()
        sizes = ImageClassifierConfig(channels=config.channels, num_features=config.features)
        self.image = ImageClassifier(*space.shape, config.features, sizes, init)
        self.embedding = nn.Embedding(num_words, config.embedding_size)
        self.lstm = nn.LSTM(config.embedding_size + config.features, config.hidden_size, batch_first=True)
        self.output = nn.Linear(config.hidden_size, num_words)
        initialise(self.output, init)
        limit = config.hidden_size**-0.5
        with torch.no_grad():
            for parameter in self.lstm.parameters():
                parameter.uniform_(-limit, limit, generator=init)
            self.embedding.weight.normal_(generator=init)

    def forward(self, image_NCHW: Tensor, word_NT: Tensor) -> Tensor:
        """Logits of every word, from the words before it.

        Args:
            image_NCHW: [N, C, H, W] float in [0, 1].
            word_NT: [N, T] int64.

        Returns:
            [N, T, words] nats; position t has seen w_1 to w_(t-1), and `END` before the first.
        """
        before_NT = F.pad(word_NT, (1, -1), value=END)
        features_NTF = F.relu(self.image(image_NCHW))[:, None].expand(-1, word_NT.shape[1], -1)
        hidden_NTH, _ = self.lstm(torch.cat([self.embedding(before_NT), features_NTF], dim=2))
        logits_NTW: Tensor = self.output(hidden_NTH)
        return logits_NTW
