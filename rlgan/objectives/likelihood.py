"""Maximum likelihood."""

# B sequences, T positions

from torch import Tensor


def negative_log_likelihood(log_prob_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Mean cross-entropy per token, teacher-forced (the pre-training of SeqGAN, Algorithm 1).

        loss = - 1/|mask| sum_{b,t in mask} log G(y_t | y_1..t-1)

    Reduction: mean over all valid tokens, as in the released code (generator.py:93-97).

    Args:
        log_prob_BT: [B, T] nats.
        mask_BT: [B, T] bool, False where the token is filling.

    Returns:
        Scalar, nats per token.

    Raises:
        ValueError: if no token is valid.
    """
    num_tokens = mask_BT.sum()
    if not num_tokens:
        raise ValueError("mask_BT must keep at least one token; got none.")
    return -(log_prob_BT * mask_BT).sum() / num_tokens
