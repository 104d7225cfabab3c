"""Every row of the f-divergence table against the mathematics, by enumeration over a distribution of 8 outcomes."""

import math

import pytest
import torch
from torch import Tensor

from rlgan.objectives.f_divergence import F_DIVERGENCES, FDivergence, bounded_exp, lower_bound, tilted_bound

P = torch.tensor([0.30, 0.05, 0.20, 0.01, 0.14, 0.10, 0.15, 0.05], dtype=torch.float64)
Q = torch.tensor([0.10, 0.15, 0.05, 0.20, 0.14, 0.06, 0.20, 0.10], dtype=torch.float64)
RATIO = P / Q
ROWS = pytest.mark.parametrize("row", F_DIVERGENCES.values(), ids=F_DIVERGENCES)

# D_f(P || Q) = E_Q[f(p/q)], each written as its usual definition rather than through f.
M = (P + Q) / 2
JSD = 0.5 * ((P * (P / M).log()).sum() + (Q * (Q / M).log()).sum())
DEFINITIONS = {
    "kl": (P * (P / Q).log()).sum(),
    "reverse_kl": (Q * (Q / P).log()).sum(),
    "pearson": ((P - Q).square() / Q).sum(),
    "squared_hellinger": (P.sqrt() - Q.sqrt()).square().sum(),
    "jensen_shannon": 2 * JSD,
    "gan": 2 * JSD - math.log(4),
}


def optimal(row: FDivergence) -> torch.Tensor:
    """T* = f'(p/q)."""
    u = RATIO.clone().requires_grad_(True)
    return torch.autograd.grad(row.f(u).sum(), u)[0]


@ROWS
def test_f_gives_the_divergence_of_its_definition(row: FDivergence) -> None:
    assert torch.allclose((Q * row.f(RATIO)).sum(), DEFINITIONS[row.name], atol=1e-12)


@ROWS
def test_conjugate_is_the_supremum_over_a_grid(row: FDivergence) -> None:
    u = torch.cat([torch.linspace(1e-6, 30, 600_001, dtype=torch.float64)])
    for t in optimal(row):
        assert abs(float((u * t - row.f(u)).max()) - float(row.conjugate(t))) < 1e-6


def test_the_conjugate_of_pearson_is_flat_where_no_ratio_has_that_slope() -> None:
    row = F_DIVERGENCES["pearson"]
    t = torch.tensor([-5.0, -2.0, 0.0, 2.0])
    assert row.conjugate(t).tolist() == [-1.0, -1.0, 0.0, 3.0] and row.weight(t).tolist() == [0.0, 0.0, 1.0, 2.0]


@ROWS
def test_duality_holds_at_the_optimum_and_nowhere_above_it(row: FDivergence) -> None:
    t = optimal(row)
    assert torch.allclose((P * t).sum() - (Q * row.conjugate(t)).sum(), DEFINITIONS[row.name], atol=1e-12)
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        score = RATIO.log() + 0.3 * torch.randn(8, dtype=torch.float64, generator=random)
        bound = (P * row.activation(score)).sum() - (Q * row.conjugate_of_score(score)).sum()
        assert float(bound) < float(DEFINITIONS[row.name])


@ROWS
def test_bound_holds_however_far_one_score_is_off(row: FDivergence) -> None:
    """Where p > q and where p < q; beyond the exponents that are bounded too."""
    for outcome in (0, 3):
        score = RATIO.log().repeat(401, 1)
        score[:, outcome] = torch.linspace(-100, 100, 401)
        bound_S = (P * row.activation(score)).sum(1) - (Q * row.conjugate_of_score(score)).sum(1)
        assert bool((bound_S <= DEFINITIONS[row.name] + 1e-9).all()), score[bound_S.argmax(), outcome]


@ROWS
def test_weight_is_the_derivative_of_the_conjugate_and_the_ratio_at_the_optimum(row: FDivergence) -> None:
    t = optimal(row).requires_grad_(True)
    derivative = torch.autograd.grad(row.conjugate(t).sum(), t)[0]
    assert torch.allclose(derivative, row.weight(t.detach()), atol=1e-10)
    assert torch.allclose(row.weight(t.detach()), RATIO, atol=1e-10)


@ROWS
def test_activation_makes_the_weight_exp_of_the_score(row: FDivergence) -> None:
    score = torch.linspace(-8, 8, 65, dtype=torch.float64)
    assert torch.allclose(row.weight(row.activation(score)).log(), score, atol=1e-6)
    assert torch.allclose(row.activation(RATIO.log()), optimal(row), atol=1e-10)


@ROWS
def test_conjugate_of_score_is_the_conjugate_of_the_activation(row: FDivergence) -> None:
    score = torch.linspace(-8, 8, 65, dtype=torch.float64)
    assert torch.allclose(row.conjugate_of_score(score), row.conjugate(row.activation(score)), rtol=1e-6, atol=1e-9)


@ROWS
def test_a_free_score_trained_on_the_bound_becomes_the_log_ratio(row: FDivergence) -> None:
    score = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([score], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = (Q * row.conjugate_of_score(score)).sum() - (P * row.activation(score)).sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    assert torch.allclose(score.detach(), RATIO.log(), atol=1e-3)


@ROWS
@pytest.mark.parametrize("extreme", [-50.0, -20.0, 0.0, 20.0, 50.0])
def test_loss_and_gradient_are_finite_in_float32(row: FDivergence, extreme: float) -> None:
    real, fake = torch.tensor([extreme, 0.1]).requires_grad_(True), torch.tensor([extreme, -0.1]).requires_grad_(True)
    bound = lower_bound(row, real, fake)
    gradients = torch.autograd.grad(bound, [real, fake])
    assert math.isfinite(float(bound.detach())) and all(bool(g.isfinite().all()) for g in gradients)
    assert bool((gradients[0] >= 0).all()) and bool((gradients[1] <= 0).all())


@ROWS
def test_bound_has_the_right_gradient(row: FDivergence) -> None:
    random = torch.Generator().manual_seed(1)
    real, fake = (torch.randn(4, dtype=torch.float64, generator=random).requires_grad_(True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda r, f: lower_bound(row, r, f), (real, fake))


def test_gan_bound_is_the_softplus_loss_and_jensen_shannon_differs_by_a_constant() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([-1.0, 3.0])
    softplus = torch.nn.functional.softplus
    gan = lower_bound(F_DIVERGENCES["gan"], real, fake)
    assert torch.allclose(gan, -softplus(-real).mean() - softplus(fake).mean())
    assert torch.allclose(lower_bound(F_DIVERGENCES["jensen_shannon"], real, fake), gan + 2 * math.log(2))


def test_bounded_exp_by_hand() -> None:
    x = torch.tensor([-1.0, 0.0, 20.0, 22.0], dtype=torch.float64, requires_grad=True)
    expected = torch.tensor([math.exp(-1), 1.0, math.exp(20), 3 * math.exp(20)], dtype=torch.float64)
    assert torch.allclose(bounded_exp(x), expected)
    gradient = torch.autograd.grad(bounded_exp(x).sum(), x)[0]
    assert math.isclose(float(gradient[3]), math.exp(20), rel_tol=1e-9)


TILTED = [row for row in F_DIVERGENCES.values() if row.powers is not None]


@pytest.mark.parametrize("row", TILTED, ids=lambda row: row.name)
def test_tilted_bound_is_the_bound_at_the_best_constant(row: FDivergence) -> None:
    """sup_c V(F + c) by brute force over c, and the function of it that the docstring states."""
    random = torch.Generator().manual_seed(2)
    real, fake = (torch.randn(5, dtype=torch.float64, generator=random) for _ in range(2))
    grid = torch.linspace(-6, 6, 120_001, dtype=torch.float64)[:, None]
    values = row.activation(real + grid).mean(dim=1) - row.conjugate_of_score(fake + grid).mean(dim=1)
    best = float(values.max())
    stated = {
        "kl": best,
        "reverse_kl": best,
        "pearson": math.log(1 + best) / 2,
        "squared_hellinger": -4 * math.log(1 - best / 2),
    }[row.name]
    assert float(tilted_bound(row, real, fake)) == pytest.approx(stated, abs=1e-7)
    assert float(tilted_bound(row, real + 3, fake + 3)) == pytest.approx(stated, abs=1e-7), "a constant does not count"


@pytest.mark.parametrize("row", TILTED, ids=lambda row: row.name)
def test_tilted_bound_has_its_gradient_where_the_bound_has_none(row: FDivergence) -> None:
    """Real samples far below the generated ones: total pull 1 on each side, whatever the scores."""
    real, fake = torch.tensor([-60.0, -61.0]).requires_grad_(), torch.tensor([50.0, 51.0]).requires_grad_()
    tilted_bound(row, real, fake).backward()
    assert real.grad is not None and fake.grad is not None
    assert float(real.grad.sum()) == pytest.approx(1.0, abs=1e-5) and float(fake.grad.sum()) == pytest.approx(
        -1.0, abs=1e-5
    )
    assert bool((real.grad >= 0).all()) and bool((fake.grad <= 0).all())
    double = [torch.randn(4, dtype=torch.float64, generator=torch.Generator().manual_seed(i)) for i in (3, 4)]
    assert torch.autograd.gradcheck(lambda r, f: tilted_bound(row, r, f), [x.requires_grad_() for x in double])


@pytest.mark.parametrize("row", TILTED, ids=lambda row: row.name)
def test_tilted_bound_is_greatest_at_the_log_ratio(row: FDivergence) -> None:
    """P and Q as multisets of equal chances: no other F on three values does better, up to a constant."""
    counts_p, counts_q = [1, 2, 5], [4, 2, 2]
    log_ratio = torch.tensor([p / q for p, q in zip(counts_p, counts_q, strict=True)], dtype=torch.float64).log()

    def value(score: Tensor) -> float:
        real, fake = (score.repeat_interleave(torch.tensor(counts)) for counts in (counts_p, counts_q))
        return float(tilted_bound(row, real, fake))

    random = torch.Generator().manual_seed(5)
    others = [log_ratio + 0.3 * torch.randn(3, dtype=torch.float64, generator=random) for _ in range(50)]
    assert value(log_ratio) > max(value(other) for other in others)


def test_tilted_bound_needs_exponentials() -> None:
    with pytest.raises(ValueError, match="not made of exponentials"):
        tilted_bound(F_DIVERGENCES["gan"], torch.zeros(2), torch.zeros(2))
