"""Exact categorical draws."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from rlgan.errors import NonFiniteError
from rlgan.sampling import inverse_cdf_sample, sample_linear

EVERY_PATH = pytest.mark.usefixtures("every_path")


def test_hand_worked_draws() -> None:
    logits_NV = torch.log(torch.tensor([[0.2, 0.5, 0.3]]))
    uniform_NK = torch.tensor([[0.0, 0.19, 0.21, 0.69, 0.71, 0.9999]])
    assert inverse_cdf_sample(logits_NV, uniform_NK).tolist() == [[0, 0, 1, 1, 2, 2]]


@pytest.mark.parametrize(
    "logits_V",
    [torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 1.5]), torch.tensor([-40.0, 40.0, 39.0, 38.5, 0.0, -20.0, 37.0])],
    ids=["mild", "spanning 80"],
)
def test_chi_square_against_the_softmax(logits_V: torch.Tensor) -> None:
    draws = 200_000
    uniform = torch.rand(1, draws, generator=torch.Generator().manual_seed(5))
    counts = np.bincount(inverse_cdf_sample(logits_V[None], uniform)[0].numpy(), minlength=7)
    expected = torch.softmax(logits_V.double(), 0).numpy() * draws
    likely = expected > 5
    assert counts[~likely].sum() == 0  # each of these tokens is drawn with a probability below 1e-16
    scaled = expected[likely] * counts[likely].sum() / expected[likely].sum()
    assert chisquare(counts[likely], scaled).pvalue > 1e-3


def test_two_levels_equal_one_cumulative_sum() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_NV = 4 * torch.randn(50, 1000, generator=generator)
    uniform_NK = torch.rand(50, 20, generator=generator)
    cumulative_NV = torch.softmax(logits_NV.double(), 1).cumsum(1)
    expected_NK = torch.searchsorted(cumulative_NV, uniform_NK.double(), right=True)
    drawn_NK = inverse_cdf_sample(logits_NV, uniform_NK)
    # float32 rounding may move a draw that falls within 1e-5 of a step
    below = cumulative_NV.gather(1, (drawn_NK - 1).clamp_min(0)) * (drawn_NK > 0)
    above = cumulative_NV.gather(1, drawn_NK)
    assert bool(((uniform_NK >= below - 1e-5) & (uniform_NK <= above + 1e-5)).all())
    assert float((drawn_NK == expected_NK).float().mean()) > 0.99


@pytest.mark.parametrize("vocab_size", [5, 257, 1000])
def test_a_token_of_probability_zero_is_never_drawn(vocab_size: int) -> None:
    logits_NV = torch.full((1, vocab_size), -torch.inf)
    logits_NV[0, 2] = 0.0
    extremes_NK = torch.tensor([[0.0, 2.0**-24, 0.5, 1.0 - 2.0**-24]])
    assert set(inverse_cdf_sample(logits_NV, extremes_NK)[0].tolist()) == {2}


def test_large_vocabulary_chi_square_by_blocks() -> None:
    generator = torch.Generator().manual_seed(1)
    logits_V = 3 * torch.randn(700, generator=generator)
    drawn = inverse_cdf_sample(logits_V[None], torch.rand(1, 300_000, generator=generator))[0]
    probability_V = torch.softmax(logits_V.double(), 0)
    expected = probability_V.numpy() * 300_000
    counts = np.bincount(drawn.numpy(), minlength=700)
    frequent = expected > 20
    observed = np.append(counts[frequent], counts[~frequent].sum())
    wanted = np.append(expected[frequent], expected[~frequent].sum())
    assert chisquare(observed, wanted).pvalue > 1e-3


def test_rows_must_agree() -> None:
    with pytest.raises(ValueError, match="one row of uniforms"):
        inverse_cdf_sample(torch.zeros(2, 3), torch.zeros(3, 1))


def as_linear(logits_V: torch.Tensor, num_rows: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A linear layer whose logits are given, for every row of hidden numbers."""
    hidden_NH = torch.ones(num_rows, 2)
    return hidden_NH, torch.stack([0.25 * logits_V, 0.25 * logits_V], dim=1), 0.5 * logits_V


@EVERY_PATH
@pytest.mark.parametrize(
    "logits_V",
    [torch.tensor([0.0, 1.0, -1.0, 2.0, 0.5, -2.0, 1.5]), torch.tensor([-40.0, 40.0, 39.0, 38.5, 0.0, -20.0, 37.0])],
    ids=["mild", "spanning 80"],
)
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_linear_layer_chi_square(logits_V: torch.Tensor, temperature: float) -> None:
    draws = 200_000
    uniform_NK = torch.rand(20, draws // 20, generator=torch.Generator().manual_seed(6))
    drawn = sample_linear(*as_linear(logits_V, 20), uniform_NK, temperature)
    counts = np.bincount(drawn.flatten().numpy(), minlength=7)
    expected = torch.softmax(logits_V.double() / temperature, 0).numpy() * draws
    likely = expected > 5
    assert counts[~likely].sum() == 0  # each of these tokens is drawn with a probability below 1e-16
    scaled = expected[likely] * counts[likely].sum() / expected[likely].sum()
    assert chisquare(counts[likely], scaled).pvalue > 1e-3


@EVERY_PATH
@pytest.mark.parametrize("shape", [(1, 1, 7), (13, 3, 100), (50, 32, 1000), (30, 33, 5001)])
@pytest.mark.parametrize("spread", [0.3, 3.0, 30.0])
def test_linear_layer_draws_as_its_logits(shape: tuple[int, int, int], spread: float) -> None:
    num_rows, hidden, vocab = shape
    random = torch.Generator().manual_seed(0)
    hidden_NH, weight_VH = torch.randn(num_rows, hidden, generator=random), torch.randn(vocab, hidden, generator=random)
    weight_VH *= spread / hidden**0.5
    bias_V, uniform_NK = torch.randn(vocab, generator=random), torch.rand(num_rows, 8, generator=random)
    drawn_NK = sample_linear(hidden_NH, weight_VH, bias_V, uniform_NK, chunk_logits=3000)
    cumulative_NV = torch.softmax((hidden_NH.double() @ weight_VH.t().double() + bias_V), 1).cumsum(1)
    below = cumulative_NV.gather(1, (drawn_NK - 1).clamp_min(0)) * (drawn_NK > 0)
    above = cumulative_NV.gather(1, drawn_NK)
    assert bool(((uniform_NK >= below - 3e-5) & (uniform_NK <= above + 3e-5)).all())
    transposed_VH = weight_VH.t().contiguous().t()
    assert torch.equal(sample_linear(hidden_NH, transposed_VH, bias_V, uniform_NK), drawn_NK)


@EVERY_PATH
def test_linear_layer_never_draws_a_forbidden_token() -> None:
    bias_V = torch.full((300,), -torch.inf)
    bias_V[150] = bias_V[299] = 0.0
    uniform_NK = torch.tensor([[0.0, 2.0**-24, 0.4999, 0.5001, 1.0 - 2.0**-24]])
    drawn = sample_linear(torch.zeros(1, 4), torch.ones(300, 4), bias_V, uniform_NK)
    assert drawn.tolist() == [[150, 150, 150, 299, 299]]


@EVERY_PATH
def test_a_row_without_a_distribution_is_an_error() -> None:
    with pytest.raises(NonFiniteError, match="1 of 2 next-token distributions are NaN or empty"):
        sample_linear(torch.tensor([[0.0], [torch.nan]]), torch.ones(5, 1), torch.zeros(5), torch.rand(2, 1))


@EVERY_PATH
@pytest.mark.parametrize("vocab_size", [5, 128, 129, 256, 257, 300])  # blocks of 128: the last whole, of one, of some
@pytest.mark.parametrize("case", ["NaN in the last bias", "all forbidden", "infinite"])
def test_a_bias_without_a_distribution_is_an_error(vocab_size: int, case: str) -> None:
    bias_V = torch.full((vocab_size,), -torch.inf) if case == "all forbidden" else torch.zeros(vocab_size)
    if case != "all forbidden":
        bias_V[-1] = torch.nan if case == "NaN in the last bias" else torch.inf
    with pytest.raises(NonFiniteError, match="2 of 2 next-token distributions are NaN or empty"):
        sample_linear(torch.zeros(2, 1), torch.ones(vocab_size, 1), bias_V, torch.rand(2, 3))


@pytest.mark.parametrize("vocab_size", [5, 300])
@pytest.mark.parametrize("logit", [torch.nan, -torch.inf])
def test_a_row_of_logits_without_a_distribution_is_an_error(vocab_size: int, logit: float) -> None:
    logits_NV = torch.zeros(3, vocab_size)
    logits_NV[1] = logit
    with pytest.raises(NonFiniteError, match="1 of 3 next-token distributions are NaN or empty"):
        inverse_cdf_sample(logits_NV, torch.rand(3, 2))
