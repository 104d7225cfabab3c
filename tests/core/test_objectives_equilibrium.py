"""BEGAN's equations: numbers worked by hand, one test for each error."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlgan.objectives.equilibrium import autoencoder_loss, global_measure, next_balance, reconstruction_error

IMAGE = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])
RECONSTRUCTION = torch.tensor([[[[0.0, 2.0], [0.0, 3.0]]], [[[1.0, 1.0], [1.0, 1.0]]]])


@pytest.mark.parametrize(("power", "expected"), [(1, [0.75, 0.0]), (2, [1.25, 0.0])])
def test_reconstruction_error_is_a_mean_over_pixels(power: int, expected: list[float]) -> None:
    assert torch.allclose(reconstruction_error(IMAGE, RECONSTRUCTION, power), torch.tensor(expected))


@pytest.mark.parametrize("power", [1, 2])
def test_reconstruction_error_has_the_right_gradient(power: int) -> None:
    random = torch.Generator().manual_seed(0)
    image, other = (
        torch.randn(2, 1, 2, 2, dtype=torch.float64, generator=random, requires_grad=True) for _ in range(2)
    )
    assert torch.autograd.gradcheck(lambda a, b: reconstruction_error(a, b, power), (image, other))


def test_reconstruction_error_refuses_other_shapes_and_powers() -> None:
    with pytest.raises(ValueError, match="one shape"):
        reconstruction_error(IMAGE, RECONSTRUCTION[:1], 1)
    with pytest.raises(ValueError, match="must be 1 or 2"):
        reconstruction_error(IMAGE, RECONSTRUCTION, 3)


def test_losses_by_hand() -> None:
    assert math.isclose(float(autoencoder_loss(torch.tensor(0.4), torch.tensor(0.3), 0.5)), 0.25, rel_tol=1e-6)
    assert math.isclose(global_measure(0.4, 0.3, 0.5), 0.5)
    assert math.isclose(global_measure(0.4, 0.1, 0.5), 0.5), "the distance from balance counts in both directions"


def test_with_balance_zero_the_gradient_is_that_of_the_autoencoder() -> None:
    real, fake = torch.tensor(0.4, requires_grad=True), torch.tensor(0.3, requires_grad=True)
    autoencoder_loss(real, fake, 0.0).backward()
    assert real.grad == 1.0 and fake.grad == 0.0


def test_balance_by_hand_and_its_direction() -> None:
    assert math.isclose(next_balance(0.2, 0.1, 0.5, 0.4, 0.1), 0.21)
    assert next_balance(0.2, 0.1, 0.5, 0.4, 0.3) < 0.2, "fakes too hard to reconstruct: look more at real images"
    assert next_balance(0.0, 1.0, 0.5, 0.1, 0.9) == 0.0 and next_balance(1.0, 1.0, 0.5, 9.0, 0.1) == 1.0
    assert math.isnan(next_balance(0.5, 0.1, 0.5, math.nan, 0.1))


@given(*[st.floats(0, 1)] * 3, *[st.floats(0, 1e6)] * 2)
def test_balance_is_a_number_in_its_range(k: float, gain: float, gamma: float, real: float, fake: float) -> None:
    after = next_balance(k, gain, gamma, real, fake)
    assert type(after) is float and 0.0 <= after <= 1.0
