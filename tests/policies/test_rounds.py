"""Figures of a round, worked by hand."""

import torch

from rlgan.policies.rounds import share_without_spread


def test_share_without_spread() -> None:
    """Positions: equal, different, equal but for one that does not count, one alone (which does not count), none."""
    value_BT = torch.tensor([[0.1, 0.1, 0.5, 0.3, 0.0], [0.1, 0.2, 0.5, 0.9, 1.0], [0.1, 0.1, 0.7, 0.9, 2.0]])
    mask_BT = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0]], dtype=torch.bool)
    assert share_without_spread(value_BT, mask_BT) == torch.tensor(2 / 3).item()
    assert share_without_spread(value_BT, torch.zeros_like(mask_BT)) == 1.0
    assert share_without_spread(torch.full((3, 5), 1 / 3), torch.ones_like(mask_BT)) == 1.0
