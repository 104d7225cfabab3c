"""The roll-out policy's weights beta as they follow the generator's weights theta."""

from collections.abc import Mapping

from torch import Tensor


def delayed_weights(beta: Mapping[str, Tensor], theta: Mapping[str, Tensor], rate: float) -> dict[str, Tensor]:
    """Beta <- rate * beta + (1 - rate) * theta, once a round; embeddings are copied outright.

    rate 0 is the paper's beta = theta (Algorithm 1, and what the released code really does: its update of rate 0.8 is
    never seen by its sampling graph). rate 0.8 is the released code's intent (rollout.py:162-193, 241-245).

    Args:
        beta: names and values of the roll-out policy.
        theta: names and values of the generator.
        rate: share of beta that is kept, in [0, 1].

    Returns:
        New values; the inputs are left alone.

    Raises:
        ValueError: if the names differ or the rate is not in [0, 1].
    """
    if beta.keys() != theta.keys():
        raise ValueError(
            f"beta and theta must have the same names; they differ in {sorted(beta.keys() ^ theta.keys())}."
        )
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"rate must be in [0, 1]; got {rate}.")
    return {
        name: (theta[name] if name.startswith("embedding") else rate * beta[name] + (1 - rate) * theta[name]).clone()
        for name in theta
    }
