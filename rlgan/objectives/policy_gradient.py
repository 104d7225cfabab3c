"""Policy-gradient losses. All are to be minimised; rewards and advantages are to be maximised."""

# B sequences, T positions

from torch import Tensor


def policy_gradient_loss(log_prob_BT: Tensor, advantage_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """REINFORCE with an advantage for every token (SeqGAN, arXiv:1609.05473, Eq. 7).

        loss = - sum_b sum_t A(s_t, a_t) log G(y_t | y_1..t-1)

    Reduction: sum over T and sum over B, as in the released code (generator.py:108-113). The AAAI text has a factor
    1/T, the arXiv text has none; neither averages over the batch in code. The caller divides when it wants a mean.

    Args:
        log_prob_BT: [B, T] nats, with gradient.
        advantage_BT: [B, T] float, to be maximised; detached here.
        mask_BT: [B, T] bool, False where the token is filling.

    Returns:
        Scalar loss to minimise.

    Raises:
        ValueError: if the shapes differ.
    """
    if not log_prob_BT.shape == advantage_BT.shape == mask_BT.shape:
        raise ValueError(
            f"log_prob_BT, advantage_BT and mask_BT must have one shape [B, T]; got {list(log_prob_BT.shape)}, "
            f"{list(advantage_BT.shape)}, {list(mask_BT.shape)}."
        )
    return -(advantage_BT.detach() * log_prob_BT * mask_BT).sum()


def negative_entropy(entropy_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """-sum of the policy's entropy over all states visited: minimising it keeps the policy spread out.

    Args:
        entropy_BT: [B, T] nats, with gradient.
        mask_BT: [B, T] bool.

    Returns:
        Scalar, summed over T and B.
    """
    return -(entropy_BT * mask_BT).sum()
