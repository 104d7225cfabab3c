"""A small convolutional classifier of images, whose last hidden layer serves as features."""

# B images, C channels, H height, W width, F features, L labels

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from rlgan.models.initial_values import initialise


class ImageClassifierConfig(BaseModel):
    """Sizes of `ImageClassifier`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    channels: int = Field(16, ge=1, description="Filters of the first convolution; the second has twice as many.")
    num_features: int = Field(64, ge=1, description="Width of the last hidden layer, rectified.")


class ImageClassifier(nn.Module):
    """Two 3x3 convolutions with 2x2 max-pooling, one hidden layer, one logit for each label.

    Attributes:
        num_features: F.
    """

    def __init__(
        self,
        channels: int,
        height: int,
        width: int,
        num_labels: int,
        config: ImageClassifierConfig,
        init: torch.Generator,
    ) -> None:
        super().__init__()
        self.num_features = config.num_features
        self.first = nn.Conv2d(channels, config.channels, 3, padding=1)
        self.second = nn.Conv2d(config.channels, 2 * config.channels, 3, padding=1)
        self.hidden = nn.Linear(2 * config.channels * (height // 4) * (width // 4), config.num_features)
        self.output = nn.Linear(config.num_features, num_labels)
        initialise(self, init)

    def pooled(self, image_BCHW: Tensor) -> Tensor:
        """The second convolution after pooling.

        Args:
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, filters, H/4, W/4] float, >= 0.
        """
        return F.max_pool2d(F.relu(self.layer("second", image_BCHW)), 2)

    def layer(self, name: str, image_BCHW: Tensor) -> Tensor:
        """Activations whose units can be a condition.

        Args:
            name: "first", "second" or "hidden" (as one place), all before their rectifier.
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, units, rows, columns].

        Raises:
            ValueError: if there is no such layer.
        """
        if name == "hidden":
            return self.hidden(self.pooled(image_BCHW).flatten(1))[:, :, None, None]  # type: ignore[no-any-return]
        if name not in {"first", "second"}:
            raise ValueError(f"there are the layers first, second and hidden; got {name}.")
        first: Tensor = self.first(image_BCHW)
        return first if name == "first" else self.second(F.max_pool2d(F.relu(first), 2))

    def features(self, image_BCHW: Tensor) -> Tensor:
        """The last hidden layer.

        Args:
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, F] float, >= 0.
        """
        return F.relu(self.hidden(self.pooled(image_BCHW).flatten(1)))

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """Which label.

        Args:
            image_BCHW: [B, C, H, W] float in [0, 1].

        Returns:
            [B, L] logits, nats.
        """
        logits_BL: Tensor = self.output(self.features(image_BCHW))
        return logits_BL
