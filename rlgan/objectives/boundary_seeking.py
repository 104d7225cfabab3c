"""The generator's losses of boundary-seeking GANs (arXiv:1702.08431). All are to be minimised.

The score F of a sample estimates log p/q, so its importance weight is exp(F). Weights and samples are constants here:
no gradient flows into the discriminator, except in the continuous form, which has no other way.
"""

# N latent codes, M draws from g(x | z) for each, B samples

import math

import torch
from torch import Tensor


def normalised_weights(score_NM: Tensor) -> Tensor:
    """The weights of the M draws of each latent code (Eq. 10): w_m / sum_m' w_m' = softmax over M of F.

    The partition function cancels, so nothing has to be estimated, and a constant added to F changes nothing.

    Args:
        score_NM: [N, M] F of every draw, nats.

    Returns:
        [N, M], each row adds up to 1; carries no gradient.
    """
    return torch.softmax(score_NM.detach(), dim=1)


def effective_sample_size(weight_NM: Tensor) -> Tensor:
    """ESS = 1 / sum_m w_m^2: how many draws of each latent code the update really uses.

    Args:
        weight_NM: [N, M] normalised weights.

    Returns:
        [N], between 1 and M.
    """
    return 1.0 / weight_NM.square().sum(dim=1)


def importance_weighted_loss(log_prob_NM: Tensor, score_NM: Tensor, control_variate: bool = True) -> Tensor:
    """The lower-variance estimator of Algorithm 1 (Eq. 10), whose gradient is that of KL(p~(x|z) || g(x|z)).

        loss = - 1/N sum_n sum_m w~_nm log g(x_nm | z_n)

    Reduction: weighted sum over M, mean over N. log g is the sum over all pixels or characters: one weight per sample.
    `control_variate` takes 1/M from every weight. That changes no expectation, since E[grad log g] = 0, and removes the
    gradient noise that equal weights would leave, which grows with the number of pixels.

    Args:
        log_prob_NM: [N, M] log g(x|z), nats, with gradient.
        score_NM: [N, M] F of every draw; detached here.
        control_variate: False is the paper's form.

    Returns:
        Scalar.
    """
    _require_equal_shapes(log_prob_NM, score_NM)
    weight_NM = normalised_weights(score_NM)
    if control_variate:
        weight_NM = weight_NM - 1.0 / weight_NM.shape[1]
    return -(weight_NM * log_prob_NM).sum(dim=1).mean()


def single_partition_loss(
    log_prob_NM: Tensor, score_NM: Tensor, log_partition: Tensor, control_variate: bool = True
) -> Tensor:
    """The plain estimator of Theorem 1, with one partition function beta for all draws: of high variance.

        loss = - E_q[ (w / beta) log g ],   beta = E_q[w]

    Reduction: mean over all N M draws.

    Args:
        log_prob_NM: [N, M] nats, with gradient.
        score_NM: [N, M] F of every draw; detached here.
        log_partition: scalar, log beta of all draws of the batch (`log_partition`); detached here.
        control_variate: takes 1 from every w / beta, as above; False is the paper's form.

    Returns:
        Scalar.
    """
    _require_equal_shapes(log_prob_NM, score_NM)
    weight_NM = torch.exp(score_NM - log_partition).detach()
    if control_variate:
        weight_NM = weight_NM - 1.0
    return -(weight_NM * log_prob_NM).mean()


def reinforce_loss(log_prob_NM: Tensor, score_NM: Tensor, baseline_NM: Tensor) -> Tensor:
    """The REINFORCE form (Definition 2.4): the policy gradient of KL(q || p~), with reward F = log w.

        loss = - 1/(NM) sum_nm (F(x_nm) - b_nm) log g(x_nm | z_n)

    Reduction: mean over N and M (Eq. 11 prints a sum over M, which suits normalised weights only). The gradient with p~
    held fixed has the baseline log beta + 1, the text prints log beta - 1; neither changes the expectation, since
    E[grad log g] = 0. What a baseline changes is the variance, and `leave_one_out_baseline` lowers it most.

    Args:
        log_prob_NM: [N, M] nats, with gradient.
        score_NM: [N, M] F of every draw, to be maximised; detached here.
        baseline_NM: [N, M] or broadcastable to it; must not depend on its own draw; detached here.

    Returns:
        Scalar.
    """
    _require_equal_shapes(log_prob_NM, score_NM)
    return -((score_NM - baseline_NM).detach() * log_prob_NM).mean()


def leave_one_out_baseline(score_NM: Tensor) -> Tensor:
    """The mean score of the other draws of the same latent code, which leaves the gradient unbiased.

    Args:
        score_NM: [N, M] F of every draw.

    Returns:
        [N, M]; carries no gradient.

    Raises:
        ValueError: if there is only one draw.
    """
    num_draws = score_NM.shape[1]
    if num_draws < 2:
        raise ValueError(f"a leave-one-out baseline needs at least 2 draws for each latent code; got {num_draws}.")
    score_NM = score_NM.detach()
    return (score_NM.sum(dim=1, keepdim=True) - score_NM) / (num_draws - 1)


def log_partition(score: Tensor) -> Tensor:
    """Log beta = log E_q[w], over all draws.

    Args:
        score: any shape, F of every draw.

    Returns:
        Scalar, nats; carries no gradient.
    """
    return torch.logsumexp(score.detach().flatten(), dim=0) - math.log(score.numel())


def continuous_loss(score_B: Tensor) -> Tensor:
    """The loss for continuous samples: (log w)^2, which sends G to the decision boundary F = 0; D passes the gradient.

        loss = 1/B sum_b F(G(z_b))^2

    Reduction: mean over B. Released variants differ by a factor 1/2 or subtract a moving average of log beta from F.

    Args:
        score_B: [B] F of generated samples, with gradient.

    Returns:
        Scalar.
    """
    return score_B.square().mean()


def _require_equal_shapes(log_prob_NM: Tensor, score_NM: Tensor) -> None:
    """Refuse what would broadcast in silence."""
    if log_prob_NM.shape != score_NM.shape or log_prob_NM.ndim != 2:
        raise ValueError(
            f"log_prob_NM and score_NM must have one shape [N, M]; got {list(log_prob_NM.shape)} and "
            f"{list(score_NM.shape)}."
        )
