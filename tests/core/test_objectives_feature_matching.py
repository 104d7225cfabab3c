"""PPGN's training losses by hand."""

import math

import pytest
import torch

from rlgan.objectives.feature_matching import is_paused, non_saturating, squared_error


def test_squared_error_sums_over_an_image_and_averages_over_images() -> None:
    """(1 + 4) and (0 + 9): mean 7; the gradient is 2 (a - b) / 2."""
    output = torch.tensor([[[1.0, 2.0]], [[0.0, 3.0]]], requires_grad=True)
    loss = squared_error(output, torch.zeros(2, 1, 2))
    loss.backward()
    assert loss.item() == 7.0
    assert output.grad.flatten().tolist() == [1.0, 2.0, 0.0, 3.0]
    with pytest.raises(ValueError, match="one shape"):
        squared_error(output, torch.zeros(2, 2))


def test_non_saturating_loss_by_hand() -> None:
    """Logits 0 and log 3: D = 1/2 and 3/4; -mean log D = (log 2 + log 4/3) / 2. Its gradient is -(1 - D) / 2."""
    logits = torch.tensor([0.0, math.log(3.0)], requires_grad=True)
    loss = non_saturating(logits)
    loss.backward()
    assert loss.item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    assert logits.grad.tolist() == pytest.approx([-0.25, -0.125])


@pytest.mark.parametrize(
    ("ratio", "paused"),
    [
        (None, (False, False)),
        (0.09, (True, False)),
        (0.1, (False, False)),
        (10.0, (False, False)),
        (10.1, (False, True)),
    ],
)
def test_who_sits_out(ratio: float | None, paused: tuple[bool, bool]) -> None:
    assert is_paused(ratio) == paused
