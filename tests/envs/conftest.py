"""A critic whose reward tells every sequence from every other, so that a wrong fill, order or row shows."""

from collections.abc import Callable

import pytest
import torch

from rlgan.types import TokenSpace


class DecimalReward:
    """Reads the tokens as the digits of a number: 3 1 4 is rewarded with 314. Notes every batch it was asked for."""

    def __init__(self) -> None:
        self.batches_BT: list[torch.Tensor] = []

    def __call__(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        assert tokens_BT.dtype == torch.int64
        self.batches_BT.append(tokens_BT)
        length = tokens_BT.shape[1]
        return (tokens_BT * 10 ** torch.arange(length - 1, -1, -1)).sum(dim=1).double()


@pytest.fixture
def decimal_reward() -> DecimalReward:
    return DecimalReward()


@pytest.fixture
def fixed_space() -> TokenSpace:
    return TokenSpace(vocab_size=7, length=4, start_id=3)


@pytest.fixture
def padded_space() -> TokenSpace:
    return TokenSpace(vocab_size=7, length=4, start_id=1, end_id=2)


@pytest.fixture
def constant_reward() -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda tokens_BT: torch.ones(len(tokens_BT))
