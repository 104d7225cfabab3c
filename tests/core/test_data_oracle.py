# N rows, T positions, V vocabulary, E embedding, H hidden

import itertools
import math

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import rlgan.data.oracle as oracle_module
from rlgan.data import CorpusConfig, Oracle, OracleSource, load_source, require_sequences
from rlgan.data.oracle import ARRAY_NAMES, array_shapes
from rlgan.errors import DataError
from rlgan.types import TokenPolicy, TokenSource


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tiny(seed=0, scale=1.0):
    oracle = Oracle.draw(seed, vocab_size=4, embedding=3, hidden=5)
    return Oracle({name: array * scale for name, array in oracle.arrays.items()})


def reference_nll(arrays, tokens):
    """Gate by gate in float64, as the module's first lines state it; written apart from the class."""
    a = {name: array.numpy().astype(np.float64) for name, array in arrays.items()}
    h = c = np.zeros(a["logits.W"].shape[0])
    previous, nll = 0, []

    def gate(name, x, h, squash):
        return squash(x @ a[f"{name}.W"] + h @ a[f"{name}.U"] + a[f"{name}.b"])

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    for token in tokens:
        x = a["embedding"][previous]
        i, f, o = (gate(name, x, h, sigmoid) for name in ("input_gate", "forget_gate", "output_gate"))
        c = f * c + i * gate("candidate", x, h, np.tanh)
        h = o * np.tanh(c)
        logits = h @ a["logits.W"] + a["logits.b"]
        nll.append(math.log(np.exp(logits).sum()) - logits[token])
        previous = token
    return nll


def test_nll_is_that_of_the_lstm_written_gate_by_gate():
    oracle = tiny(seed=3)
    tokens_NT = torch.randint(4, (7, 6), generator=generator())
    expected = [reference_nll(oracle.arrays, row.tolist()) for row in tokens_NT]
    torch.testing.assert_close(oracle.nll(tokens_NT), torch.tensor(expected, dtype=torch.float32), atol=2e-5, rtol=0)


def test_probabilities_of_all_sequences_add_to_one():
    all_NT = torch.tensor(list(itertools.product(range(4), repeat=4)))
    assert tiny(seed=1).nll(all_NT).sum(dim=1).neg().exp().sum().item() == pytest.approx(1.0, abs=1e-5)


def test_samples_follow_the_exact_probabilities():
    oracle, num = tiny(seed=2), 40_000
    pairs = list(itertools.product(range(4), repeat=2))
    probability = oracle.nll(torch.tensor(pairs)).sum(dim=1).neg().exp()
    tokens_NT = oracle.sample(num, 2, generator(5))
    observed = torch.bincount(tokens_NT[:, 0] * 4 + tokens_NT[:, 1], minlength=16)
    chi_square = ((observed - num * probability) ** 2 / (num * probability)).sum().item()
    assert chi_square < 37.7, chi_square  # 0.1% point of 15 degrees of freedom


def test_extreme_parameters_neither_overflow_nor_draw_impossible_tokens():
    oracle = tiny(seed=4, scale=200.0)
    tokens_NT = oracle.sample(500, 6, generator())
    nll_NT = oracle.nll(tokens_NT)
    assert nll_NT.isfinite().all() and nll_NT.max() < 20


def test_it_is_a_token_policy_and_steps_to_its_own_nll():
    policy: TokenPolicy = tiny(seed=6)
    tokens_NT = torch.randint(4, (3, 5), generator=generator())
    state_N, nll = policy.initial_state(3), []
    for token_N in tokens_NT.unbind(1):
        nll.append(-policy.state_logits(state_N).log_softmax(1)[torch.arange(3), token_N])
        state_N = policy.advance(token_N, state_N)
    torch.testing.assert_close(torch.stack(nll, 1), tiny(seed=6).nll(tokens_NT))


def test_chunks_change_nothing(monkeypatch):
    oracle = tiny(seed=7)
    tokens_NT = oracle.sample(50, 6, generator())
    nll_NT = oracle.nll(tokens_NT)
    monkeypatch.setattr(oracle_module, "_CHUNK", 12)
    assert torch.equal(oracle.sample(50, 6, generator()), tokens_NT)
    torch.testing.assert_close(oracle.nll(tokens_NT), nll_NT)


def test_default_oracle_scores_as_the_published_one():
    # LantaoYu/SeqGAN's oracle: own samples 5.760 (sd of a sequence's mean 0.53), uniform tokens 11.43 nats per token.
    # Any N(0, 1) oracle is within 0.25 of that (mean over seeds 5.95 and 11.19); the default seed within 0.05.
    oracle = Oracle.draw(CorpusConfig().oracle_seed)
    own_NT = oracle.nll(oracle.sample(1500, 20, generator()))
    assert own_NT.mean().item() == pytest.approx(5.76, abs=0.06)
    assert own_NT.mean(dim=1).std().item() == pytest.approx(0.53, abs=0.05)
    uniform_NT = torch.randint(5000, (1000, 20), generator=generator())
    assert oracle.nll(uniform_NT).mean().item() == pytest.approx(11.43, abs=0.08)


def test_parameters_are_standard_normal_and_depend_on_the_seed_alone():
    oracle = Oracle.draw(68)
    assert oracle.arrays["embedding"].std().item() == pytest.approx(1, abs=0.01)
    assert oracle.arrays["logits.W"].mean().item() == pytest.approx(0, abs=0.01)
    assert oracle.fingerprint() == Oracle.draw(68).fingerprint() != Oracle.draw(69).fingerprint()
    # numpy's PCG64 stream: the same on every machine, or runs on two machines have two oracles
    assert oracle.fingerprint().startswith("7c9fcd75")


def test_file_keeps_every_number(tmp_path):
    oracle = tiny(seed=8)
    oracle.save(tmp_path / "oracle.safetensors")
    loaded = Oracle.load(tmp_path / "oracle.safetensors")
    assert loaded.fingerprint() == oracle.fingerprint()
    assert {name: tuple(array.shape) for name, array in loaded.arrays.items()} == array_shapes(4, 3, 5)
    assert len(ARRAY_NAMES) == 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("candidate.U"), "missing: candidate.U"),
        (lambda a: a.update(extra=torch.zeros(1)), "unknown: extra"),
        (lambda a: a.update({"input_gate.W": torch.zeros(5, 3)}), r"input_gate.W must be \[3, 5\].*got \[5, 3\]"),
        (lambda a: a.update({"logits.b": torch.zeros(5)}), r"logits.b must be \[4\]"),
        (lambda a: a.update({"embedding": torch.zeros(4)}), r"embedding must be \[V, E\]"),
        (lambda a: a.update({"embedding": torch.zeros(0, 3)}), "must be at least 1; got 0"),
        (
            lambda a: a.update({"output_gate.b": torch.zeros(5, dtype=torch.int64)}),
            "must be a float array; got .*int64",
        ),
        (lambda a: a["logits.W"].fill_(math.nan), "logits.W holds NaN"),
        (lambda a: a["logits.W"].fill_(math.inf), "logits.W holds NaN or infinite"),
    ],
)
def test_wrong_file_is_refused(tmp_path, change, message):
    arrays = dict(tiny().arrays)
    change(arrays)
    save_file(arrays, tmp_path / "o.safetensors")
    with pytest.raises(DataError, match=message):
        Oracle.load(tmp_path / "o.safetensors")


def test_missing_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        Oracle.load(tmp_path / "none")
    (tmp_path / "pickle").write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(DataError, match="not a safetensors file"):
        Oracle.load(tmp_path / "pickle")
    with pytest.raises(DataError, match=r"cannot be read|not a safetensors file"):
        Oracle.load(tmp_path)


def test_nll_refuses_what_are_not_its_ids():
    with pytest.raises(ValueError, match=r"ids in \[0, 4\)"):
        tiny().nll(torch.tensor([[0, 4]]))
    with pytest.raises(ValueError, match="must be \\[N, T\\] ids"):
        tiny().nll(torch.zeros(2, 2))


def test_source_is_the_papers_task_in_small():
    config = CorpusConfig(oracle_sequences=30, oracle_held_out=10, vocab_size=50, length=6)
    source: TokenSource = load_source(config)
    assert isinstance(source, OracleSource)
    assert source.train_NT.shape == (30, 6) and source.held_out_NT.shape == (10, 6)
    assert not torch.equal(source.train_NT[:10], source.held_out_NT)
    assert (source.space.vocab_size, source.space.length, source.space.start_id, source.space.end_id) == (
        50,
        6,
        0,
        None,
    )
    assert source.decode(torch.tensor([3, 0, 7])) == "3 0 7"
    assert source.tokenizer_json() is None
    again = load_source(config)
    assert torch.equal(again.train_NT, source.train_NT) and again.fingerprint() == source.fingerprint()
    others = [{"oracle_seed": 1}, {"oracle_sequences": 31}, {"oracle_held_out": 9}, {"length": 5}]
    prints = {load_source(config.model_copy(update=other)).fingerprint() for other in others}
    assert len(prints | {source.fingerprint()}) == 5


def test_source_takes_an_oracle_file(tmp_path):
    tiny(seed=9).save(tmp_path / "o.safetensors")
    config = CorpusConfig(oracle_file=tmp_path / "o.safetensors", oracle_sequences=5, oracle_held_out=5)
    source = load_source(config)
    assert source.space.vocab_size == 4 and source.oracle.fingerprint() == tiny(seed=9).fingerprint()
    with pytest.raises(DataError, match="has 4 ids, and vocab_size asks for 5"):
        load_source(config.model_copy(update={"vocab_size": 5}))
    with pytest.raises(DataError, match="the checkpoint has a vocabulary and the oracle has none"):
        load_source(config, tokenizer_json="{}")


def test_too_few_sequences_for_a_batch():
    source = load_source(CorpusConfig(oracle_sequences=10, oracle_held_out=0, vocab_size=5, length=2))
    require_sequences(source, 10)
    with pytest.raises(DataError, match=r"10 training sequences \(0 held out\) do not fill one batch of 11"):
        require_sequences(source, 11)
