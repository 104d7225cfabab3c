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


def entropy_target_loss(entropy_part: Tensor, entropy_mean: Tensor, target: float) -> Tensor:
    """Keep the mean entropy of the policy near a target: (H - H*)^2, split over the learners of a group.

    The gradient of the square is 2 (H - H*) dH, and H is a sum of parts; so each learner minimises
    2 (H - H*) H_part with the factor held constant, and the gradients add up to that of the square.

    Args:
        entropy_part: scalar, this learner's part of the mean entropy (nats per token), with gradient.
        entropy_mean: scalar, the mean entropy itself: the sum of all parts.
        target: H*, nats per token.

    Returns:
        Scalar whose gradient is this learner's part of the gradient; its value means nothing.
    """
    return 2.0 * (entropy_mean - target).detach() * entropy_part
