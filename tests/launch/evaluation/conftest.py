"""Run directories as `rlgan train` leaves them, made without training."""

import pytest
import yaml
from safetensors.torch import save_file

from rlgan.checkpoint import Checkpoint, save_checkpoint
from rlgan.data import CorpusConfig, load_source
from rlgan.launch.history import History, HistoryEntry
from rlgan.models import RecurrentConfig, RecurrentGenerator
from rlgan.seeding import torch_generator

ORACLE = {"vocab_size": 12, "length": 4, "oracle_sequences": 40, "oracle_held_out": 20}
SIZES = {"embedding_size": 8, "hidden_size": 8, "init_std": 1.0}


def generator_of(space, seed):
    """A generator with random weights."""
    return RecurrentGenerator(space, RecurrentConfig(**SIZES), torch_generator(seed, "fake run"))


def make(path, seed=0, weights_seed=1, data=None, with_likelihood=True, evaluations=(), **training):
    """A run directory with one checkpoint: weights_seed for the final generator, seed for the likelihood model."""
    corpus = CorpusConfig(**(data or ORACLE))
    source = load_source(corpus)
    basis = {"generator": SIZES, "reward": "discriminator", "advantage": "prefix_value", "standardise": True}
    config = {"system": "seqgan", "seed": seed, "training": basis | training, "data": corpus.model_dump(mode="json")}
    weights = generator_of(source.space, weights_seed).state_dict()
    space = {name: getattr(source.space, name) for name in ("vocab_size", "length", "start_id", "end_id")}
    checkpoint = Checkpoint(
        step=30,
        tensors={"published_generator": weights, "learner_generator": weights},
        state={
            "system": "seqgan",
            "weights_version": 1,
            "corpus": {"fingerprint": source.fingerprint(), "name": source.name},
            "space": space,
        },
        config_yaml=yaml.safe_dump(config, sort_keys=False),
        tokenizer_json=source.tokenizer_json(),
    )
    save_checkpoint(path / "checkpoints", checkpoint)
    (path / "config.yaml").write_text(checkpoint.config_yaml)
    if with_likelihood:
        save_file(generator_of(source.space, seed).state_dict(), path / "likelihood.safetensors")
    for step, phase, figures in evaluations:
        History(path).append(HistoryEntry(step, phase, "eval", 0.1, figures))
    return path


@pytest.fixture
def make_run():
    """`make_run(path, seed=..., weights_seed=..., data=..., with_likelihood=..., evaluations=..., **training)`."""
    return make
