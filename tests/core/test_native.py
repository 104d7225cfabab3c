"""The native core against torch, for every instruction set this machine has; switching it off."""

# N rows, H hidden, V vocabulary, E embedding

import math
from collections.abc import Iterator

import pytest
import torch

from rlgan.errors import ConfigError, NonFiniteError
from rlgan.models import RecurrentConfig, RecurrentGenerator, TextCNN, TextCNNConfig
from rlgan.models.fused_softmax import softmax_log_prob_and_entropy
from rlgan.native import instruction_set, library, native_library, supports
from rlgan.native.library import INSTRUCTION_SETS
from rlgan.native.lstm import lstm_step
from rlgan.native.text_cnn import HighwayOutput
from rlgan.sampling import sample_linear
from rlgan.types import TokenSpace
from tests.native_core import require_core, use_path


@pytest.fixture(params=INSTRUCTION_SETS)
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One instruction set, where the machine has it."""
    return use_path(request.param, monkeypatch)


@pytest.fixture
def not_built(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As where rlgan was installed without a compiler."""
    monkeypatch.setattr(library, "_built", lambda: None)
    library._chosen.cache_clear()
    yield
    library._chosen.cache_clear()


def test_it_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLGAN_NATIVE", "0")
    assert native_library() is None and instruction_set() is None and not supports(torch.zeros(1))


def test_it_is_used_for_float32_on_the_cpu_only(kernels: str) -> None:
    assert supports(torch.zeros(1), torch.zeros(2, 2))
    assert not supports(torch.zeros(1), torch.zeros(1, dtype=torch.float64))
    assert not supports(torch.zeros(1, device="meta"))


@pytest.mark.parametrize("is_built", [True, False])
def test_an_unknown_instruction_set_is_refused(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, is_built: bool
) -> None:
    if not is_built:
        request.getfixturevalue("not_built")
    monkeypatch.setenv("RLGAN_NATIVE", "sse9")
    with pytest.raises(ConfigError, match="RLGAN_NATIVE=sse9: not an instruction set; use 0"):
        native_library()


@pytest.mark.parametrize("name", INSTRUCTION_SETS)
def test_an_instruction_set_of_a_core_that_was_not_built_is_refused(
    monkeypatch: pytest.MonkeyPatch, not_built: None, name: str
) -> None:
    monkeypatch.setenv("RLGAN_NATIVE", name)
    with pytest.raises(ConfigError, match=f"RLGAN_NATIVE={name}: the native core was not built"):
        native_library()


@pytest.mark.parametrize("setting", ["0", "1", ""])
def test_without_a_core_torch_is_used(monkeypatch: pytest.MonkeyPatch, not_built: None, setting: str) -> None:
    monkeypatch.setenv("RLGAN_NATIVE", setting)
    assert native_library() is None and instruction_set() is None


@pytest.mark.parametrize(("setting", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_core_that_was_not_built_can_be_made_a_failure(
    monkeypatch: pytest.MonkeyPatch, not_built: None, setting: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("RLGAN_NATIVE", "1")
    monkeypatch.setenv("RLGAN_REQUIRE_NATIVE", setting)
    with pytest.raises(outcome, match="the native core was not built"):
        require_core()


def layer(num_rows: int, hidden: int, vocab: int) -> tuple[torch.Tensor, ...]:
    """Hidden, weight, bias, tokens."""
    random = torch.Generator().manual_seed(num_rows)
    sizes = ((num_rows, hidden), (vocab, hidden), (vocab,))
    return *(torch.randn(s, generator=random) for s in sizes), torch.randint(vocab, (num_rows,), generator=random)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1, 2), (5, 7, 13), (96, 32, 128), (97, 32, 500), (150, 65, 1001)])
@pytest.mark.parametrize("with_entropy", [False, True])
def test_softmax_and_its_gradients(
    kernels: str, shape: tuple[int, int, int], with_entropy: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    *leaves, token_N = layer(*shape)
    random = torch.Generator().manual_seed(1)
    weight_N, entropy_weight_N = torch.randn(2, shape[0], generator=random)
    results = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    for is_native in (True, False):
        inputs = [
            leaf.to(torch.float32 if is_native else torch.float64).requires_grad_() for leaf in map(torch.clone, leaves)
        ]
        log_prob_N, entropy_N = softmax_log_prob_and_entropy(*inputs, token_N)
        loss = (log_prob_N * weight_N).sum() + ((entropy_N * entropy_weight_N).sum() if with_entropy else 0)
        results.append([log_prob_N, entropy_N, *torch.autograd.grad(loss, inputs)])
    for native, exact in zip(*results, strict=True):
        assert torch.allclose(native.double(), exact, rtol=1e-4, atol=2e-5 * float(exact.abs().max()))


@pytest.mark.parametrize("hidden", [1, 8, 16, 33])
@pytest.mark.parametrize("num_rows", [1, 12, 600])
def test_lstm_step(kernels: str, hidden: int, num_rows: int) -> None:
    random = torch.Generator().manual_seed(0)
    config = RecurrentConfig(embedding_size=9, hidden_size=hidden, init_std=1.0)
    net = RecurrentGenerator(TokenSpace(40, 5), config, random)
    state_2NH = torch.randn(2, num_rows, hidden, generator=random)
    token_N = torch.randint(40, (num_rows,), generator=random)
    with torch.no_grad():
        native = net.advance(token_N, (state_2NH[0], state_2NH[1]))
    slow = net.advance(token_N, (state_2NH[0], state_2NH[1]))
    for one, other in zip(native, slow, strict=True):
        assert torch.allclose(one, other, atol=2e-6)


def test_a_token_outside_the_vocabulary_is_refused(kernels: str) -> None:
    parts = (torch.zeros(1, 4), torch.zeros(1, 4), torch.zeros(5, 3), torch.zeros(16, 3), torch.zeros(16, 4))
    with pytest.raises(IndexError, match=r"ids in \[0, 5\)"):
        lstm_step(torch.tensor([5]), *parts, torch.zeros(16))


def test_two_threads_draw_what_one_draws(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden_NH, weight_VH, bias_V, _ = layer(200, 8, 700)
    uniform_N1 = torch.rand(200, 1, generator=torch.Generator().manual_seed(0))
    drawn = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        drawn.append(sample_linear(hidden_NH, weight_VH, bias_V, uniform_N1))
    assert torch.equal(drawn[0], drawn[1]) and torch.equal(drawn[0], drawn[2])


def test_threads_take_several_pieces_each(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows than a piece for every thread: tokens, states and logits; no bad row of an early piece is forgotten."""
    hidden_NH, weight_VH, bias_V, _ = layer(2500, 8, 30)
    random = torch.Generator().manual_seed(0)
    uniform_N1 = torch.rand(2500, 1, generator=random)
    step = [torch.randint(30, (2500,), generator=random), hidden_NH, -hidden_NH, weight_VH]
    step += [torch.rand(shape, generator=random) - 0.5 for shape in ((32, 8), (32, 8), (32,))]
    features_NF, maps_2FF = torch.rand(2500, 20, generator=random), torch.rand(2, 20, 20, generator=random) - 0.5
    maps = [(weight_FF, weight_FF[0].contiguous()) for weight_FF in maps_2FF]
    results = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        drawn_N1 = sample_linear(hidden_NH, weight_VH, bias_V, uniform_N1)
        results.append([drawn_N1, *lstm_step(*step), HighwayOutput(*maps, (maps[0][1], 0.5)).logits(features_NF)])
        with pytest.raises(NonFiniteError, match="1 of 2500 next-token distributions"):
            bad_NH = hidden_NH.clone()
            bad_NH[0] = torch.nan
            sample_linear(bad_NH, weight_VH, bias_V, uniform_N1)
    for one, *others in zip(*results, strict=True):
        assert all(torch.equal(one, other) for other in others)


@pytest.mark.parametrize("vocab", [129, 640])
def test_a_row_is_drawn_as_if_it_were_alone(kernels: str, vocab: int) -> None:
    """Rows whose logits cannot overflow are drawn without a shift, beside others that need one."""
    hidden_NH, weight_VH, bias_V, _ = layer(61, 8, vocab)
    hidden_NH *= torch.logspace(-3, 3, 61)[torch.randperm(61, generator=torch.Generator().manual_seed(1)), None]
    uniform_NK = torch.rand(61, 5, generator=torch.Generator().manual_seed(0))
    alone = [
        sample_linear(hidden_NH[n : n + 1], weight_VH, bias_V, uniform_NK[n : n + 1]) for n in range(len(hidden_NH))
    ]
    assert torch.equal(sample_linear(hidden_NH, weight_VH, bias_V, uniform_NK), torch.cat(alone))


@pytest.mark.parametrize("largest", [59.5, 59.7, 200.0])
def test_draws_where_logits_are_as_large_as_they_may_be(kernels: str, largest: float) -> None:
    """Two tokens share nearly all of the probability, 1 to 3, at the largest logit; the rest is at the smallest."""
    weight_V1 = torch.full((300, 1), -1.0)
    weight_V1[[17, 299], 0] = 1.0
    bias_V = torch.zeros(300)
    bias_V[299] = math.log(3.0)
    hidden_N1 = torch.full((30, 1), largest - math.log(3.0))
    uniform_NK = torch.rand(30, 2000, generator=torch.Generator().manual_seed(0))
    drawn_NK = sample_linear(hidden_N1, weight_V1, bias_V, uniform_NK)
    expected_NK = torch.where(uniform_NK > 0.25, 299, 17)
    assert bool(((drawn_NK == expected_NK) | ((uniform_NK - 0.25).abs() < 1e-5)).all())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("pooling", ["max", "mean"])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 5, (1,), (1,)), (3, 2, 7, (1, 3, 7), (5, 17, 40)), (40, 1, 6, (2, 5), (16, 33))]
)
def test_text_cnn_over_shared_prefixes(
    kernels: str, sizes: tuple[int, int, int, tuple[int, ...], tuple[int, ...]], pooling: str, threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    batch, rollouts, length, windows, filters = sizes
    config = TextCNNConfig(embedding_size=7, windows=windows, filters=filters, pooling=pooling, dropout=0.3)
    random = torch.Generator().manual_seed(0)
    net = TextCNN(TokenSpace(50, length), config, random).eval()
    tokens_BT = torch.randint(50, (batch, length), generator=random)
    completed_PRBT = torch.randint(50, (length - 1, rollouts, batch, length), generator=random)
    for p in range(length - 1):
        completed_PRBT[p, :, :, : p + 1] = tokens_BT[:, : p + 1]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    logit_PRB, logit_B = net.completion_logits(tokens_BT, completed_PRBT)
    monkeypatch.setenv("RLGAN_NATIVE", "0")
    exact = net.double()
    expected_B, expected_N = exact(tokens_BT), exact(completed_PRBT.reshape(-1, length))
    assert torch.allclose(logit_B.double(), expected_B, rtol=1e-5, atol=1e-5)
    assert torch.allclose(logit_PRB.double().flatten(), expected_N, rtol=1e-5, atol=1e-5)


def test_probability_at_the_papers_size(kernels: str, monkeypatch: pytest.MonkeyPatch) -> None:
    random = torch.Generator().manual_seed(0)
    net = TextCNN(TokenSpace(5000, 20), TextCNNConfig(), random).eval()
    tokens_BT = torch.randint(5000, (300, 20), generator=random)
    with torch.no_grad():
        logit_B = net(tokens_BT).double()
        monkeypatch.setenv("RLGAN_NATIVE", "0")
        exact_B = net.double()(tokens_BT)
    assert float(exact_B.std()) > 1  # fresh weights make large logits, so that rounding shows
    assert torch.allclose(torch.sigmoid(logit_B), torch.sigmoid(exact_B), rtol=1e-5, atol=0)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("highway", [True, False])
@pytest.mark.parametrize("batch", [1, 5, 64, 70])
def test_text_cnn_gradients(
    kernels: str, batch: int, highway: bool, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TextCNNConfig(embedding_size=7, windows=(1, 3, 9), filters=(6, 19, 13), highway=highway, dropout=0.4)
    random = torch.Generator().manual_seed(0)
    net = TextCNN(TokenSpace(50, 9), config, random).train()
    tokens_BT, weight_B = torch.randint(50, (batch, 9), generator=random), torch.randn(batch, generator=random)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    results = []
    for setting in (kernels, "0"):
        monkeypatch.setenv("RLGAN_NATIVE", setting)
        torch.manual_seed(7)  # both draw the same dropout
        logit_B = net(tokens_BT)
        results.append([logit_B, *torch.autograd.grad((logit_B * weight_B).sum(), list(net.parameters()))])
    for native, plain in zip(*results, strict=True):
        assert torch.allclose(native, plain, rtol=1e-4, atol=2e-5 * float(plain.detach().abs().max()))


def test_windows_of_few_filters_are_trained_by_torch(kernels: str) -> None:
    config = TextCNNConfig(windows=(1, 2), filters=(3, 8))
    net = TextCNN(TokenSpace(50, 9), config, torch.Generator().manual_seed(0))
    net(torch.zeros(2, 9, dtype=torch.int64)).sum().backward()
    assert net.convolutions[0].weight.grad is not None


def test_a_second_derivative_is_refused(kernels: str) -> None:
    """The core's gradients carry none: without the refusal it would silently be that of torch's part alone."""
    net = TextCNN(TokenSpace(50, 9), TextCNNConfig(dropout=0.0), torch.Generator().manual_seed(0))
    hidden_NH, weight_VH, bias_V, token_N = layer(5, 7, 13)
    losses = (
        (net.embedding.weight, torch.sigmoid(net(torch.zeros(2, 9, dtype=torch.int64))).sum()),
        (
            hidden_NH.requires_grad_(),
            softmax_log_prob_and_entropy(hidden_NH, weight_VH, bias_V, token_N)[0].exp().sum(),
        ),
    )
    for leaf, loss in losses:
        (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            gradient.sum().backward()
