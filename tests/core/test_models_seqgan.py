"""Generator and discriminator nets: against independent computations, and their released initial values."""

# B sequences, T positions, V vocabulary

import importlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError

from rlgan import rewards
from rlgan.discriminators import TextCNNDiscriminator, TextCNNDiscriminatorConfig
from rlgan.models import Dropout, RecurrentConfig, RecurrentGenerator, TextCNN, TextCNNConfig
from rlgan.models.fused_softmax import softmax_log_prob_and_entropy
from rlgan.models.text_cnn import Highway, distinct_rows
from rlgan.types import TokenSpace

SPACE = TokenSpace(13, 6, start_id=3)
pytestmark = pytest.mark.usefixtures("both_paths")


def generator(init_std: float = 0.5) -> RecurrentGenerator:
    return RecurrentGenerator(SPACE, RecurrentConfig(init_std=init_std), torch.Generator().manual_seed(0))


def tokens(num: int = 4) -> torch.Tensor:
    return torch.randint(13, (num, 6), generator=torch.Generator().manual_seed(1))


def test_fused_softmax_gradients() -> None:
    random = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, 4, dtype=torch.float64, generator=random, requires_grad=True)
    weight = torch.randn(7, 4, dtype=torch.float64, generator=random, requires_grad=True)
    bias = torch.randn(7, dtype=torch.float64, generator=random, requires_grad=True)
    token_N = torch.tensor([0, 6, 3, 3, 1])
    assert torch.autograd.gradcheck(lambda *p: softmax_log_prob_and_entropy(*p, token_N), (hidden, weight, bias))


def test_fused_softmax_equals_log_softmax_over_chunks() -> None:
    random = torch.Generator().manual_seed(0)
    hidden, weight, bias = (torch.randn(*s, generator=random) for s in ((200, 8), (5000, 8), (5000,)))
    token_N = torch.randint(5000, (200,), generator=random)
    log_prob_N, entropy_N = softmax_log_prob_and_entropy(hidden, weight, bias, token_N)
    expected_NV = torch.log_softmax((hidden @ weight.t() + bias).double(), 1)
    assert torch.allclose(log_prob_N.double(), expected_NV.gather(1, token_N[:, None])[:, 0], atol=1e-4)
    assert torch.allclose(entropy_N.double(), -(expected_NV.exp() * expected_NV).sum(1), atol=1e-4)


def test_stepping_gives_the_log_probabilities_of_teacher_forcing() -> None:
    policy, tokens_BT = generator(), tokens()
    state, stepped = policy.initial_state(4), []
    for t in range(6):
        stepped.append(torch.log_softmax(policy.state_logits(state), 1).gather(1, tokens_BT[:, t : t + 1]))
        state = policy.advance(tokens_BT[:, t], state)
    assert torch.allclose(torch.cat(stepped, 1), policy.log_prob(tokens_BT), atol=1e-5)


def test_dropout_acts_only_where_it_is_asked_for() -> None:
    policy, tokens_BT = generator().train(), tokens()
    assert torch.equal(policy.log_prob(tokens_BT), policy.log_prob(tokens_BT))
    dropped = policy.log_prob_and_entropy(tokens_BT, Dropout(0.5, 0.0))[0]
    assert not torch.equal(dropped, policy.log_prob(tokens_BT))
    assert not torch.equal(policy.log_prob_and_entropy(tokens_BT, Dropout(0.0, 0.5))[0], policy.log_prob(tokens_BT))


def test_the_first_token_depends_on_the_start_token() -> None:
    policy = generator()
    other = RecurrentGenerator(TokenSpace(13, 6, start_id=5), RecurrentConfig(), torch.Generator())
    other.load_state_dict(policy.state_dict())
    assert not torch.allclose(policy.log_prob(tokens())[:, 0], other.log_prob(tokens())[:, 0])


def test_probabilities_of_all_sequences_add_up_to_one() -> None:
    space = TokenSpace(3, 4)
    policy = RecurrentGenerator(space, RecurrentConfig(init_std=1.0), torch.Generator().manual_seed(2))
    every_BT = torch.cartesian_prod(*[torch.arange(3)] * 4)
    assert torch.allclose(policy.log_prob(every_BT).sum(1).exp().sum(), torch.tensor(1.0), atol=1e-5)


def test_generator_starts_as_released() -> None:
    policy = RecurrentGenerator(TokenSpace(5000, 20), RecurrentConfig(), torch.Generator().manual_seed(0))
    trained = {name: p for name, p in policy.named_parameters() if p.requires_grad}
    assert all(
        abs(float(p.detach().std()) - 0.1) < 0.02 and abs(float(p.detach().mean())) < 0.02 for p in trained.values()
    )
    assert float(policy.lstm.bias_hh_l0.abs().sum()) == 0 and "lstm.bias_hh_l0" not in trained


def test_text_cnn_equals_conv1d() -> None:
    config = TextCNNConfig(embedding_size=5, windows=(1, 2, 6), filters=(4, 3, 2), dropout=0.0)
    net, tokens_BT = TextCNN(SPACE, config, torch.Generator().manual_seed(0)), tokens()
    embedded_BET = net.embedding(tokens_BT).transpose(1, 2)
    pooled = []
    for convolution, window in zip(net.convolutions, (1, 2, 6), strict=True):
        weight_FEW = convolution.weight.view(-1, window, 5).transpose(1, 2)
        pooled.append(F.relu(F.conv1d(embedded_BET, weight_FEW, convolution.bias)).amax(2))
    features_BF = torch.cat(pooled, 1)
    assert torch.allclose(net.features(tokens_BT), features_BF, atol=1e-5)
    gate_BF = torch.sigmoid(net.highway.gate(features_BF))
    highway_BF = gate_BF * F.relu(net.highway.transform(features_BF)) + (1 - gate_BF) * features_BF
    assert torch.allclose(net(tokens_BT), net.output(highway_BF)[:, 0], atol=1e-5)


def test_mean_pooling_without_highway_equals_conv1d() -> None:
    config = TextCNNConfig(embedding_size=5, windows=(2,), filters=(4,), dropout=0.0, pooling="mean", highway=False)
    net, tokens_BT = TextCNN(SPACE, config, torch.Generator().manual_seed(0)), tokens()
    convolution = next(iter(net.convolutions))
    weight_FEW = convolution.weight.view(4, 2, 5).transpose(1, 2)
    convolved_BFP = F.conv1d(net.embedding(tokens_BT).transpose(1, 2), weight_FEW, convolution.bias)
    assert torch.allclose(net(tokens_BT), net.output(F.relu(convolved_BFP).mean(2))[:, 0], atol=1e-5)


def test_text_cnn_has_the_paper_shape_and_start() -> None:
    net = TextCNN(TokenSpace(5000, 20), TextCNNConfig(), torch.Generator().manual_seed(0))
    assert net.output.in_features == 1720 and len(net.convolutions) == 12
    assert not torch.equal(net.highway.gate.weight, net.highway.transform.weight)
    assert float(net.embedding.weight.abs().max()) <= 1.0
    assert all(torch.allclose(c.bias, torch.tensor(0.1)) for c in net.convolutions)


def test_windows_longer_than_the_text_are_dropped() -> None:
    net = TextCNN(SPACE, TextCNNConfig(), torch.Generator().manual_seed(0))
    assert len(net.convolutions) == 6
    with pytest.raises(ValueError, match="no window fits"):
        TextCNN(SPACE, TextCNNConfig(windows=(9,), filters=(2,)), torch.Generator().manual_seed(0))


def test_windows_and_filters_must_pair() -> None:
    with pytest.raises(ValidationError, match="one number of filters a window"):
        TextCNNConfig(windows=(1, 2), filters=(3,))


def discriminator(**changes: object) -> TextCNNDiscriminator:
    config = TextCNNDiscriminatorConfig(windows=(1, 2), filters=(8, 8), **changes)  # type: ignore[arg-type]
    return TextCNNDiscriminator(SPACE, config, torch.Generator().manual_seed(0))


def test_reward_is_the_probability_with_dropout_off_and_no_gradient() -> None:
    net = discriminator(dropout=0.5).train()
    one, two = net.reward(tokens()), net.reward(tokens())
    assert torch.equal(one, two) and net.training and not one.requires_grad
    assert torch.allclose(one, torch.sigmoid(net.eval()(tokens())))


def test_l2_touches_the_output_layer_only() -> None:
    plain, penalised = discriminator(l2_output=0.0), discriminator(l2_output=0.3)
    logits = torch.zeros(2)
    gap = penalised.loss(logits, logits) - plain.loss(logits, logits)
    output = penalised.net.output
    expected = 0.15 * (output.weight.square().sum() + output.bias.square().sum())
    assert torch.allclose(gap, expected)
    gap.backward()
    assert penalised.net.highway.gate.weight.grad is None and output.weight.grad is not None


def test_discriminator_learns_to_tell_two_languages_apart() -> None:
    net = discriminator(dropout=0.0)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    real, fake = torch.randint(0, 7, (32, 6)), torch.randint(6, 13, (32, 6))
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = net.loss(net(real), net(fake))
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]
    assert float(net.reward(real).mean()) > 0.8 > 0.2 > float(net.reward(fake).mean())


@pytest.mark.parametrize(
    ("name", "expected"), [("probability", 0.88079708), ("log_probability", -0.12692801), ("log_odds", 2.0)]
)
def test_reward_maps(name: str, expected: float) -> None:
    assert torch.allclose(rewards.REWARD_MAPS[name](torch.tensor(2.0)), torch.tensor(expected))
    assert bool(torch.isfinite(rewards.log_probability(torch.tensor(-1e4))))


def completions(num: int = 5, rollouts: int = 3, space: TokenSpace = SPACE) -> tuple[torch.Tensor, torch.Tensor]:
    """Sequences and random completions of all their prefixes, some of them equal."""
    random = torch.Generator().manual_seed(4)
    tokens_BT = torch.randint(space.vocab_size, (num, space.length), generator=random)
    shape = (space.length - 1, rollouts, num, space.length)
    completed_PRBT = torch.randint(3, shape, generator=random)
    for p in range(space.length - 1):
        completed_PRBT[p, :, :, : p + 1] = tokens_BT[:, : p + 1]
    completed_PRBT[:, 0, 0] = tokens_BT[0]
    return tokens_BT, completed_PRBT


@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize("highway", [True, False])
@pytest.mark.parametrize("features_at_once", [1, 10**9])
def test_completions_are_rewarded_as_if_alone(
    pooling: str, highway: bool, features_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlgan.models.text_cnn._FEATURES_AT_ONCE", features_at_once)
    space = TokenSpace(30, 9)
    config = TextCNNDiscriminatorConfig(
        embedding_size=5, windows=(1, 2, 4, 9), filters=(20, 16, 33, 2), pooling=pooling, highway=highway, dropout=0.5
    )
    net = TextCNNDiscriminator(space, config, torch.Generator().manual_seed(0)).train()
    tokens_BT, completed_PRBT = completions(space=space)
    reward_PRB, reward_B = net.completion_rewards(tokens_BT, completed_PRBT)
    assert net.training
    net.eval()
    with torch.enable_grad():  # the plain path of torch
        expected_B = torch.sigmoid(net(tokens_BT)).detach()
        expected_N = torch.sigmoid(net(completed_PRBT.reshape(-1, 9))).detach()
    assert torch.allclose(reward_B, expected_B, rtol=1e-5, atol=0)
    assert torch.allclose(reward_PRB, expected_N.view_as(reward_PRB), rtol=1e-5, atol=0)
    assert torch.allclose(net.reward(tokens_BT), expected_B, rtol=1e-5, atol=0)


def test_equal_rows_are_evaluated_once() -> None:
    rows_NT = torch.tensor([[1, 2], [3, 4], [1, 2], [2, 1], [3, 4]])
    kept_K, place_N = distinct_rows(rows_NT)
    assert sorted(kept_K.tolist()) == [0, 1, 3]
    assert torch.equal(rows_NT[kept_K][place_N], rows_NT)


def test_rows_of_one_hash_are_told_apart() -> None:
    """The hash is a polynomial in C modulo 2**64, so that (C, 0) and (0, 1) collide; no vocabulary has such ids."""
    rows_NT = torch.tensor([[0x1E3779B97F4A7C15, 0], [0, 1], [0, 1]])
    kept_K, place_N = distinct_rows(rows_NT)
    assert torch.equal(rows_NT[kept_K][place_N], rows_NT)


def test_an_id_outside_the_vocabulary_is_refused() -> None:
    with pytest.raises(IndexError):
        discriminator().reward(torch.full((1, 6), 13))


@pytest.mark.parametrize("has_gradient", [False, True])
def test_discriminator_is_exact_at_the_papers_size(
    has_gradient: bool, both_paths: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against conv2d in double precision: 1e-5 of each logit, or of 1 where it is smaller.

    Element by element it cannot be asked for near 0, where a logit is the difference of sums that are far larger.
    """
    benchmarks = Path(__file__).parents[2] / "benchmarks"
    if not benchmarks.is_dir():
        pytest.skip("benchmarks/ is not here: the package was installed alone")
    monkeypatch.syspath_prepend(str(benchmarks))
    naive = importlib.import_module("naive")
    random = torch.Generator().manual_seed(2)  # logits of -12.6 to -0.02
    net = TextCNNDiscriminator(TokenSpace(5000, 20), TextCNNDiscriminatorConfig(), random).eval()
    tokens_BT = torch.randint(5000, (100, 20), generator=random)
    with torch.set_grad_enabled(has_gradient):
        logit_B = net(tokens_BT).detach().double()
    assert net.net.output.in_features == 1720 and isinstance(net.net.highway, Highway)
    with torch.no_grad():
        exact_B = naive.logits(net.double(), tokens_BT)
    assert float(((logit_B - exact_B) / exact_B.abs().clamp_min(1)).abs().max()) < 1e-5
