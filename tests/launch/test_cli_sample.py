"""`rlgan sample`: the sequences of a checkpoint, the same for the same seed, without Ray, into pipes and files."""

import json
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
import yaml

from rlgan.checkpoint import Checkpoint, save_checkpoint
from rlgan.data.vocabulary import Vocabulary
from rlgan.launch.generator import load_generator
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.rollouts import sample_sequences
from rlgan.seeding import torch_generator
from rlgan.types import TokenSpace

WORDS = ["the", "cat", "sat", "on", "mat"]


def save_run(path, step, vocabulary, space, sizes=None, seed=0):
    """A run directory with one checkpoint of an untrained generator; returns the generator."""
    sizes = sizes or RecurrentConfig(embedding_size=4, hidden_size=5, init_std=1.0)
    net = RecurrentGenerator(space, sizes, torch_generator(seed, "test"))
    checkpoint = Checkpoint(
        step=step,
        tensors={"published_generator": net.state_dict()},
        state={"space": asdict(space)},
        config_yaml=yaml.safe_dump({"training": {"generator": sizes.model_dump()}}),
        tokenizer_json=None if vocabulary is None else vocabulary.to_json(),
    )
    save_checkpoint(path / "checkpoints", checkpoint)
    return net


@pytest.fixture
def word_run(tmp_path):
    """A run whose generator speaks five words: ids 0 <start>, 1 <end>, 2 the, ..."""
    vocabulary = Vocabulary.of_tokens("word", WORDS, has_end=True, has_unk=False)
    space = TokenSpace(vocabulary.size, 6, vocabulary.start_id, vocabulary.end_id)
    return tmp_path / "run", save_run(tmp_path / "run", 7, vocabulary, space), space


def expected_tokens(net, space, count, temperature=1.0, seed=0):
    """What the documented rule gives: batches of 256 from (seed, "sample", first row)."""
    uniform_NT = torch.rand(256, space.length, generator=torch_generator(seed, "sample", 0))
    return sample_sequences(net, space, uniform_NT[:count], temperature).tolist()


def text_of(ids):
    """Words up to the end token."""
    ids = ids[: ids.index(1)] if 1 in ids else ids
    return " ".join("<start>" if one == 0 else WORDS[one - 2] for one in ids)


def test_text_and_json_lines_say_the_same(word_run, rlgan):
    path, net, space = word_run
    rows = expected_tokens(net, space, 20, temperature=0.8, seed=3)
    options = ("-n", 20, "--temperature", "0.8", "--seed", "3")
    assert rlgan("sample", path, *options).out.splitlines() == [text_of(row) for row in rows]
    said = rlgan("sample", path, *options, "--format", "jsonl")
    for line, row in zip(said.out.splitlines(), rows, strict=True):
        end = row.index(1) + 1 if 1 in row else len(row)
        assert json.loads(line) == {"text": text_of(row), "tokens": row[:end], "step": 7}


def test_more_samples_begin_with_the_fewer(word_run, rlgan):
    path, _, _ = word_run
    few, many = (rlgan("sample", path, "-n", n).out.splitlines() for n in (3, 300))
    assert len(many) == 300 and many[:3] == few
    assert rlgan("sample", path, "-n", 3, "--seed", "1").out.splitlines() != few


def test_a_cold_generator_is_greedy(word_run, rlgan):
    path, net, space = word_run
    lines = set(rlgan("sample", path, "-n", 50, "--temperature", "0.0001").out.splitlines())
    state, greedy = net.initial_state(1), []
    for _ in range(space.length):
        greedy.append(int(net.state_logits(state).argmax()))
        state = net.advance(torch.tensor([greedy[-1]]), state)
    assert lines == {text_of(greedy)}


def test_integers_have_no_vocabulary(tmp_path, rlgan):
    net = save_run(tmp_path, 1, None, TokenSpace(20, 4))
    rows = expected_tokens(net, TokenSpace(20, 4), 5)
    assert rlgan("sample", tmp_path, "-n", 5).out.splitlines() == [" ".join(map(str, row)) for row in rows]


def test_the_newest_checkpoint_counts_and_any_can_be_named(tmp_path, rlgan):
    old, new = (save_run(tmp_path, step, None, TokenSpace(20, 4), seed=step) for step in (5, 6))
    assert expected_tokens(old, TokenSpace(20, 4), 9) != expected_tokens(new, TokenSpace(20, 4), 9)
    newest = rlgan("sample", tmp_path, "-n", 9).out
    named = rlgan("sample", tmp_path / "checkpoints" / "step-000005", "-n", 9).out
    assert newest == rlgan("sample", tmp_path / "checkpoints" / "step-000006", "-n", 9).out != named
    assert load_generator(tmp_path).step == 6


def test_a_damaged_newest_one_is_passed_over(tmp_path, rlgan, caplog):
    for step in (5, 6):
        save_run(tmp_path, step, None, TokenSpace(20, 4), seed=step)
    before = rlgan("sample", tmp_path / "checkpoints" / "step-000005").out
    file = tmp_path / "checkpoints" / "step-000006" / "published_generator.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert rlgan("sample", tmp_path).out == before and "passing over" in caplog.text
    said = rlgan("sample", tmp_path / "checkpoints" / "step-000006")
    assert said.code == 5 and "published_generator.safetensors: is damaged" in said.err


def test_into_a_file(word_run, rlgan, tmp_path):
    path, _, _ = word_run
    said = rlgan("sample", path, "-n", 4, "--output", tmp_path / "out.txt")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert (tmp_path / "out.txt").read_text() == rlgan("sample", path, "-n", 4).out


@pytest.mark.parametrize(
    "words, code, message",
    [
        ((), 2, "RUN"),
        (("nowhere",), 5, "nowhere: no such directory"),
        (("empty",), 5, "empty: no checkpoint in it yet"),
        (("run", "--temperature", "0"), 2, "--temperature: input should be greater than 0; got 0.0"),
        (("run", "--temperature", "nan"), 2, "--temperature"),
        (("run", "-n", "-1"), 2, "--num-samples"),
        (("run", "--format", "xml"), 2, "xml"),
        (("run", "--output", "empty"), 2, "--output empty: cannot be written (Is a directory)"),
    ],
)
def test_refuses(words, code, message, rlgan, word_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    said = rlgan("sample", *words)
    assert said.code == code and said.err.count("\n") == 1 and message in said.err, said


def test_a_checkpoint_of_something_else(tmp_path, rlgan):
    save_checkpoint(tmp_path / "checkpoints", Checkpoint(1, {}, {"space": {"vocab_size": 3}}, "training: {}"))
    said = rlgan("sample", tmp_path)
    assert said.code == 5 and "holds no generator of sequences" in said.err


def test_a_tokenizer_of_another_size(tmp_path, rlgan):
    vocabulary = Vocabulary.of_tokens("word", WORDS, has_end=True, has_unk=False)
    save_run(tmp_path, 1, vocabulary, TokenSpace(9, 4, 0, 1))
    said = rlgan("sample", tmp_path)
    assert said.code == 5 and "7 tokens in tokenizer.json, 9 in state.json" in said.err


def test_ray_is_not_imported_and_a_closed_pipe_is_quiet(tmp_path):
    save_run(tmp_path, 1, None, TokenSpace(20, 4))
    code = (
        "import sys; from rlgan.launch.main import main; code = main(sys.argv[1:]); "
        "assert not {'ray', 'gymnasium'} & sys.modules.keys(), 'imported'; sys.exit(code)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "sample", str(tmp_path), "-n", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().count(" ") == 3
    process.stdout.close()
    assert (process.wait(60), process.stderr.read()) == (0, "")
