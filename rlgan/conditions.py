"""What a chain is to show: a label or a hidden unit of any classifier, a caption, or the rest of a picture."""

# N chains, L labels or units, T words, C channels, H height, W width, n channels of a hidden layer

from collections.abc import Callable

from torch import Tensor

from rlgan.objectives.captioning import caption_log_probability
from rlgan.objectives.plug_and_play import context_log_likelihood, label_log_probability, stitched
from rlgan.types import Condition

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


class CaptionCondition:
    """log p(w | x) of a captioner, with a caption for every chain.

    Attributes:
        captioner: [N, C, H, W] images and [N, T] words -> [N, T, words] logits.
        word_NT: [N, T] int64.
    """

    def __init__(self, captioner: Callable[[Tensor, Tensor], Tensor], word_NT: Tensor) -> None:
        self.captioner, self.word_NT = captioner, word_NT

    def log_probability(self, image_NCHW: Tensor) -> Tensor:
        """See `rlgan.types.Condition`."""
        return caption_log_probability(self.captioner(image_NCHW, self.word_NT), self.word_NT)


class ContextCondition:
    """The rest of a picture: known pixels, and what another condition says of the picture with its hole filled.

    That other one sees the real context around the generated hole: its gradient is of the hole alone, as released.

    Attributes:
        known_CHW: [C, H, W] in [0, 1].
        is_known_HW: [H, W] bool.
        context_sd: see `context_log_likelihood`.
        condition: of the filled picture, such as its label; None for none.
    """

    def __init__(
        self, known_CHW: Tensor, is_known_HW: Tensor, context_sd: float, condition: Condition | None = None
    ) -> None:
        self.known_CHW, self.is_known_HW, self.context_sd = known_CHW, is_known_HW, context_sd
        self.condition = condition

    def log_probability(self, image_NCHW: Tensor) -> Tensor:
        """See `rlgan.types.Condition`."""
        context_N = context_log_likelihood(image_NCHW, self.known_CHW, self.is_known_HW, self.context_sd)
        if self.condition is None:
            return context_N
        return context_N + self.condition.log_probability(stitched(image_NCHW, self.known_CHW, self.is_known_HW))
