"""A NaN goes through the text CNN as it does in torch, on every instruction set: a diverged net must not look sound."""

# B sequences, T positions

import pytest
import torch
import torch.nn.functional as F

from rlgan.models import TextCNN, TextCNNConfig
from rlgan.types import TokenSpace

LENGTH = 9


def net_with_nan(place: str, **changes: object) -> TextCNN:
    """A net without dropout in which one number is NaN; token 49 is the last."""
    config = TextCNNConfig(embedding_size=7, windows=(1, 3), filters=(6, 19), dropout=0.0, **changes)  # type: ignore[arg-type]
    net = TextCNN(TokenSpace(50, LENGTH), config, torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.get_parameter(place).view(-1)[-1] = torch.nan
    return net


def tokens(with_last: bool) -> torch.Tensor:
    """[3, T] ids, of which the sequence in the middle holds token 49, or none does."""
    tokens_BT = torch.randint(49, (3, LENGTH), generator=torch.Generator().manual_seed(1))
    if with_last:
        tokens_BT[1, 4] = 49
    return tokens_BT


CONVOLUTIONS = ["convolutions.0.weight", "convolutions.1.weight", "convolutions.1.bias"]
MAPS = ["highway.transform.weight", "highway.transform.bias", "highway.gate.weight"]
CASES = [
    *[(place, pooling, highway) for place in CONVOLUTIONS for pooling in ("max", "mean") for highway in (True, False)],
    *[(place, "max", True) for place in MAPS],
]


@pytest.mark.usefixtures("every_path")
@pytest.mark.parametrize(("place", "pooling", "highway"), CASES)
def test_nan_in_a_weight(place: str, pooling: str, highway: bool) -> None:
    net, tokens_BT = net_with_nan(place, pooling=pooling, highway=highway), tokens(with_last=False)
    with torch.no_grad():
        logit_PRB, logit_B = net.eval().completion_logits(tokens_BT, tokens_BT.expand(8, 2, 3, LENGTH))
        assert bool(net(tokens_BT).isnan().all()) and bool(logit_PRB.isnan().all()) and bool(logit_B.isnan().all())
    loss = F.softplus(net.train()(tokens_BT)).mean()
    assert bool(loss.isnan())
    assert bool(torch.autograd.grad(loss, net.get_parameter(place))[0].isnan().any())


@pytest.mark.usefixtures("every_path")
@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("highway", [True, False])
def test_nan_in_an_embedding_stays_in_its_sequences(pooling: str, highway: bool) -> None:
    net, tokens_BT = net_with_nan("embedding.weight", pooling=pooling, highway=highway), tokens(with_last=True)
    with torch.no_grad():
        logit_PRB, logit_B = net.eval().completion_logits(tokens_BT, tokens_BT.expand(8, 2, 3, LENGTH))
        found = [net(tokens_BT), logit_B, logit_PRB[0, 0], logit_PRB[7, 1]]
    logit_B = net.train()(tokens_BT)
    assert all(logit.isnan().tolist() == [False, True, False] for logit in [*found, logit_B])
    gradient_VE = torch.autograd.grad(F.softplus(logit_B).mean(), net.embedding.weight)[0]
    assert bool(gradient_VE[49].isnan().any())
    sound_VE = torch.autograd.grad(F.softplus(net(tokens(with_last=False))).mean(), net.embedding.weight)[0]
    assert bool(sound_VE.isfinite().all())


@pytest.mark.usefixtures("every_path")
def test_the_gradient_of_a_nan_feature_is_nan() -> None:
    """The sum of the logits has a finite gradient everywhere else, so that only the feature itself can pass it on."""
    name = "convolutions.1.weight"
    net = net_with_nan(name, highway=False)
    (gradient,) = torch.autograd.grad(net(tokens(with_last=False)).sum(), net.get_parameter(name))
    assert bool(gradient[-1].isnan().any()) and bool(gradient[:-1].isfinite().all())
