"""What is refused before any actor starts: wrong data, and a checkpoint that belongs to another run."""

from typing import Any

import yaml

from rlgan.checkpoint import Checkpoint, require_match
from rlgan.data import load_source, require_sequences
from rlgan.data.oracle_source import load_oracle
from rlgan.errors import CheckpointError, DataError
from rlgan.launch.run_config import RunConfig
from rlgan.types import TokenSource

_VOCABULARY = ("tokens", "length", "fixed_length", "max_vocab", "bpe_size", "vocab_size")
_FIXED = {"generator", "discriminator", "likelihood", "lr", "reward"}
_FIXED_OF_DISCRIMINATOR = {"pretrain_steps", "lr", "weight_decay"}


def check_data(run: RunConfig, smallest: int, tokenizer_json: str | None) -> TokenSource | None:
    """Read the data file once before Ray starts. The oracle's sequences cannot be wrong and are not drawn here.

    Args:
        run: what to learn from.
        smallest: training sequences needed at least.
        tokenizer_json: the vocabulary of a checkpoint that is resumed.

    Returns:
        The source; None for the oracle.

    Raises:
        DataError: if the data is unusable or too little.
    """
    if run.data.data is None:
        load_oracle(run.data)
        if run.data.oracle_sequences < smallest:
            raise DataError(
                f"--oracle-sequences: {run.data.oracle_sequences} sequences do not fill one batch of {smallest}. "
                "Ask for more, or for a smaller batch."
            )
        return None
    source = load_source(run.data, tokenizer_json)
    require_sequences(source, smallest)
    return source


def check_resume(checkpoint: Checkpoint, run: RunConfig) -> list[str]:
    """Refuse a checkpoint of another vocabulary, architecture or schedule of pre-training.

    Args:
        checkpoint: what is to be gone on from.
        run: the configuration now.

    Returns:
        One line for every other setting of training that has changed; those take effect.
    """
    now = {"training": run.training.model_dump(mode="json"), "data": run.data.model_dump(mode="json")}
    training: dict[str, Any] = {name: now["training"][name] for name in sorted(_FIXED)}
    training["discriminator_training"] = {
        name: now["training"]["discriminator_training"][name] for name in sorted(_FIXED_OF_DISCRIMINATOR)
    }
    data = {name: now["data"][name] for name in _VOCABULARY}
    require_match(checkpoint, checkpoint.tokenizer_json, {"system": run.system, "training": training, "data": data})
    return _changes(yaml.safe_load(checkpoint.config_yaml)["training"], now["training"], "training")


def check_same_data(checkpoint: Checkpoint, source: TokenSource, allow_change: bool) -> None:
    """Refuse data that is not what the checkpoint was made of.

    Args:
        checkpoint: what is to be gone on from.
        source: the data now, encoded with the checkpoint's vocabulary.
        allow_change: whether other sequences of the same vocabulary and length are welcome.

    Raises:
        DataError: if the sequences differ.
        CheckpointError: if the vocabulary or the length differ.
    """
    saved, space = checkpoint.state["space"], source.space
    for name in ("vocab_size", "length", "start_id", "end_id"):
        if saved[name] != getattr(space, name):
            raise CheckpointError(
                f"the checkpoint of step {checkpoint.step} has {name} {saved[name]}, the data now gives "
                f"{getattr(space, name)}. Resume with the data that made it, or start a new run."
            )
    before, now = checkpoint.state["corpus"]["fingerprint"], source.fingerprint()
    if before != now and not allow_change:
        raise DataError(
            f"{source.name}: not the data that the checkpoint of step {checkpoint.step} was made of (fingerprint "
            f"{before[:12]} then, {now[:12]} now). Give that data, or add --allow-data-change."
        )


def _changes(before: Any, now: Any, name: str) -> list[str]:
    """One line for every value that is not what it was."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [line for key in now for line in _changes(before.get(key), now[key], f"{name}.{key}")]
    return [] if before == now else [f"{name}: {before} in the checkpoint, {now} from here on"]
