"""Conditions of a classifier: one of its labels, or one of its hidden units. Any classifier plugs in."""

# N chains, L labels or units, C channels, H height, W width, n channels of a hidden layer

from collections.abc import Callable

from torch import Tensor

from rlgan.objectives.plug_and_play import label_log_probability

LogProbability = Callable[[Tensor, Tensor], Tensor]


class LabelCondition:
    """log p(y = c | x) of a classifier, with a c for every chain.

    Attributes:
        classify: [N, C, H, W] images -> [N, L] logits.
        label_N: [N] int64.
        log_probability_of: logits and labels -> [N]; `label_log_probability`, `released_label_log_probability` or
            `label_logit`.
    """

    def __init__(
        self,
        classify: Callable[[Tensor], Tensor],
        label_N: Tensor,
        log_probability_of: LogProbability = label_log_probability,
    ) -> None:
        self.classify, self.label_N, self.log_probability_of = classify, label_N, log_probability_of

    def log_probability(self, image_NCHW: Tensor) -> Tensor:
        """See `rlgan.types.Condition`."""
        return self.log_probability_of(self.classify(image_NCHW), self.label_N)


class UnitCondition:
    """One channel of a hidden layer at one place, against the other channels there: a log-softmax, as released.

    Attributes:
        layer: [N, C, H, W] images -> [N, n, H', W'] activations.
        channel_N: [N] int64, the channel of every chain.
        row: of the activations.
        column: of the activations.
    """

    def __init__(self, layer: Callable[[Tensor], Tensor], channel_N: Tensor, row: int, column: int) -> None:
        self.layer, self.channel_N, self.row, self.column = layer, channel_N, row, column

    def log_probability(self, image_NCHW: Tensor) -> Tensor:
        """See `rlgan.types.Condition`."""
        return label_log_probability(self.layer(image_NCHW)[:, :, self.row, self.column], self.channel_N)
