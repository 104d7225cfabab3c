"""The equations of PPGN against numbers worked by hand."""

import math

import pytest
import torch

from rlgan.objectives import plug_and_play as ppgn

# softmax of (1, 2, 0.5): exp = 2.718282, 7.389056, 1.648721; their sum is 11.756059
LOGITS = torch.tensor([[1.0, 2.0, 0.5]], dtype=torch.float64)
SHARES = [0.231224, 0.628532, 0.140244]
LABEL = torch.tensor([1])


@pytest.mark.parametrize(
    ("function", "value", "gradient"),
    [
        (ppgn.label_log_probability, math.log(0.628532), [-SHARES[0], 1 - SHARES[1], -SHARES[2]]),
        (ppgn.released_label_log_probability, math.log(0.628532), [0.0, 1 - SHARES[1], 0.0]),
        (ppgn.label_logit, 2.0, [0.0, 1.0, 0.0]),
    ],
)
def test_value_and_gradient_of_each_form(function, value, gradient) -> None:  # type: ignore[no-untyped-def]
    logits = LOGITS.clone().requires_grad_()
    out = function(logits, LABEL)
    out.sum().backward()
    assert out.tolist() == pytest.approx([value], abs=1e-5)
    assert logits.grad[0].tolist() == pytest.approx(gradient, abs=1e-5)


def test_true_form_passes_gradcheck() -> None:
    logits = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda x: ppgn.label_log_probability(x, labels), logits)


@pytest.mark.parametrize("label", [torch.tensor([3]), torch.tensor([-1]), torch.tensor([0, 1])])
@pytest.mark.parametrize("name", ["label_log_probability", "released_label_log_probability", "label_logit"])
def test_labels_are_checked(name: str, label: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="label"):
        getattr(ppgn, name)(LOGITS, label)


def test_denoising_score_of_a_gaussian() -> None:
    """Data N(0, 4), noise 0.5^2: the best R halves nothing but 4/4.25, and the score is -x / 4.25."""
    x = torch.tensor([[1.0, -2.0], [0.0, 8.5]], dtype=torch.float64)
    score = ppgn.denoising_score(x * 4.0 / 4.25, x, 0.5)
    assert score.flatten().tolist() == pytest.approx([-1 / 4.25, 2 / 4.25, 0.0, -2.0])
    with pytest.raises(ValueError, match="noise_sd"):
        ppgn.denoising_score(x, x, 0.0)
    with pytest.raises(ValueError, match="one shape"):
        ppgn.denoising_score(x[:1], x, 1.0)
    with pytest.raises(ValueError, match="one shape"):
        ppgn.reconstruction_direction(x[:, :1], x)


def test_step_by_hand() -> None:
    """1 + 0.1 * 4 + 2 * 0.25 + 0.5 * -1 = 1.4;  -2 + 0.1 * 5 + 2 * -0.5 + 0.5 * 3 = -1."""
    state, prior = torch.tensor([[1.0, -2.0]]), torch.tensor([[4.0, 5.0]])
    condition, noise = torch.tensor([[0.25, -0.5]]), torch.tensor([[-1.0, 3.0]])
    out = ppgn.plug_and_play_step(state, prior, condition, noise, (0.1, 2.0, 0.5))
    assert out.flatten().tolist() == pytest.approx([1.4, -1.0])


def test_released_step_by_hand() -> None:
    """d = (1, -3): mean |d| 2, so (0.5, -1.5) times 4 = (2, -6). (29, 5) -> (31, -1) -> clipped to (30, 0).

    The second chain has ten times the direction and the same change: only ratios matter. The third has none and stays.
    """
    state = torch.tensor([[29.0, 5.0], [1.0, 7.0], [2.0, 3.0]])
    direction = torch.tensor([[1.0, -3.0], [10.0, -30.0], [0.0, 0.0]])
    assert ppgn.released_step(state, direction, 4.0).tolist() == [[30.0, 0.0], [3.0, 1.0], [2.0, 3.0]]


def test_langevin_by_hand() -> None:
    """x 2, score -2, eps 0.25: 2 - 0.25 + 0.5 * 3 = 3.25. log q(3.25 | 2) = -(1.25 + 0.25)^2 / 0.5 = -4.5."""
    x, score, noise = torch.tensor([[2.0]]), torch.tensor([[-2.0]]), torch.tensor([[3.0]])
    moved = ppgn.langevin_step(x, score, noise, 0.25)
    assert moved.tolist() == [[3.25]]
    assert ppgn.langevin_log_proposal(moved, x, score, 0.25).tolist() == [-4.5]


def test_acceptance_by_hand() -> None:
    """-1 - (-3) + back -2 - forward -0.5 = 0.5 -> 0;  -4 + 1 = -3;  minus infinity and NaN are never taken."""
    old = torch.tensor([-3.0, -1.0, -1.0, -1.0])
    new = torch.tensor([-1.0, -4.0, -math.inf, math.nan])
    forward, back = torch.tensor([-0.5, 0.0, 0.0, 0.0]), torch.tensor([-2.0, 0.0, 0.0, 0.0])
    out = ppgn.metropolis_log_acceptance(old, new, forward, back)
    assert out.tolist() == [0.0, -3.0, -math.inf, -math.inf]


def test_decaying_steps_by_hand() -> None:
    """0.4 (1 + 30/10)^-0.5001 is close to 0.2; gamma 1 gives 0.1."""
    assert ppgn.decaying_step_size(0.4, 10.0, 1.0, 30) == pytest.approx(0.1)
    assert ppgn.decaying_step_size(0.4, 10.0, 0.5001, 30) == pytest.approx(0.2, abs=1e-3)
    for bad in [(0.0, 1.0, 1.0), (1.0, 0.0, 1.0), (1.0, 1.0, 0.5), (1.0, 1.0, 1.1)]:
        with pytest.raises(ValueError, match="gamma"):
            ppgn.decaying_step_size(*bad, step=0)


def test_gaussian_prior_decays() -> None:
    state = torch.tensor([[2.0, -4.0]])
    zero = torch.zeros_like(state)
    out = ppgn.plug_and_play_step(state, ppgn.gaussian_prior_direction(state), zero, zero, (0.25, 1.0, 0.0))
    assert out.tolist() == [[1.5, -3.0]]


def test_blur_by_hand() -> None:
    """sd 0.5 has a window of 2 pixels: exp(-2 k^2) = 1, 0.135335, 0.000335. A constant stays; a point spreads so."""
    weights = [math.exp(-2.0 * k * k) for k in (-2, -1, 0, 1, 2)]
    share = [weight / sum(weights) for weight in weights]
    point = torch.zeros(1, 2, 7, 7, dtype=torch.float64)
    point[0, 1, 3, 3] = 1.0
    out = ppgn.blurred(point, 0.5)
    assert float(out[0, 0].abs().max()) == 0.0
    assert out[0, 1, 3, 1:6].tolist() == pytest.approx([share[2] * one for one in share])
    assert torch.allclose(ppgn.blurred(torch.full((1, 1, 4, 4), 0.3), 1.0), torch.full((1, 1, 4, 4), 0.3))
    with pytest.raises(ValueError, match="blur_sd"):
        ppgn.blurred(point, 0.0)


IMAGE = torch.tensor([[[[0.5, 0.2], [0.9, 0.4]]]], dtype=torch.float64)
KNOWN = torch.tensor([[[1.0, 0.0], [0.9, 7.0]]], dtype=torch.float64)
IS_KNOWN = torch.tensor([[True, True], [True, False]])


def test_context_by_hand() -> None:
    """Errors -0.5, 0.2 and 0 on the known pixels: -(0.25 + 0.04) / (2 * 0.25) = -0.58; gradient -error / 0.25."""
    image = IMAGE.clone().requires_grad_()
    out = ppgn.context_log_likelihood(image, KNOWN, IS_KNOWN, 0.5)
    out.sum().backward()
    assert out.tolist() == pytest.approx([-0.58])
    assert image.grad.flatten().tolist() == pytest.approx([2.0, -0.8, 0.0, 0.0])
    assert torch.autograd.gradcheck(lambda x: ppgn.context_log_likelihood(x, KNOWN, IS_KNOWN, 0.5), image)


def test_stitching_by_hand() -> None:
    image = IMAGE.clone().requires_grad_()
    out = ppgn.stitched(image, KNOWN, IS_KNOWN)
    out.sum().backward()
    assert out.flatten().tolist() == [1.0, 0.0, 0.9, 0.4]
    assert image.grad.flatten().tolist() == [0.0, 0.0, 0.0, 1.0], "the hole alone"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"context_sd": 0.0}, "context_sd"),
        ({"known_CHW": KNOWN[:, :1]}, "must fit images"),
        ({"is_known_HW": IS_KNOWN[:1]}, "must fit images"),
        ({"is_known_HW": torch.ones(2, 2, dtype=torch.bool)}, "some pixels"),
        ({"is_known_HW": torch.zeros(2, 2, dtype=torch.bool)}, "some pixels"),
    ],
)
def test_wrong_contexts_are_refused(changes: dict[str, object], message: str) -> None:
    right = {"known_CHW": KNOWN, "is_known_HW": IS_KNOWN, "context_sd": 0.5}
    with pytest.raises(ValueError, match=message):
        ppgn.context_log_likelihood(IMAGE, **(right | changes))  # type: ignore[arg-type]
