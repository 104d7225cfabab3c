"""The likelihood of a caption under a captioner, the condition of PPGN's chains to captions (arXiv:1612.00005)."""

# N images, T words with the end, W words

import torch
from torch import Tensor

from rlgan.captions import END


def caption_log_probability(logits_NTW: Tensor, word_NT: Tensor) -> Tensor:
    """Log p(w | x) = sum_t log p(w_t | w_<t, x), the end of the caption included; what comes after it does not count.

    Teacher forcing: the logits of position t were made from the true words before it.

    Args:
        logits_NTW: [N, T, W] float.
        word_NT: [N, T] int64; the first `END` (0) of a row ends its caption.

    Returns:
        [N] nats.

    Raises:
        ValueError: if the shapes do not fit, a number is no word, or a caption has no end.
    """
    if logits_NTW.ndim != 3 or word_NT.shape != logits_NTW.shape[:2]:
        raise ValueError(
            f"logits_NTW must be [N, T, W] with a word for each [N, T]; got {list(logits_NTW.shape)} and "
            f"{list(word_NT.shape)}."
        )
    if word_NT.numel() and not (int(word_NT.min()) >= 0 and int(word_NT.max()) < logits_NTW.shape[2]):
        raise ValueError(
            f"words must be in [0, {logits_NTW.shape[2]}); got {int(word_NT.min())} to {int(word_NT.max())}."
        )
    is_end_NT = word_NT == END
    if not bool(is_end_NT.any(dim=1).all()):
        raise ValueError("every caption must end with 0.")
    counts_NT = is_end_NT.long().cumsum(dim=1) - is_end_NT.long() == 0  # up to the first end, and it
    log_probability_NT = logits_NTW.log_softmax(dim=2).gather(2, word_NT[..., None]).squeeze(2)
    return torch.where(counts_NT, log_probability_NT, 0.0).sum(dim=1)
