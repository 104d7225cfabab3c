"""What a checkpoint holds of an adversarial algorithm, and how the algorithm goes on from it."""

from typing import TYPE_CHECKING

import ray

from rlgan.checkpoint import Checkpoint
from rlgan.errors import CheckpointError
from rlgan.policies.broadcast import StateDict, Weights
from rlgan.policies.calls import on_learners

if TYPE_CHECKING:
    from rlgan.policies.algorithm import AdversarialAlgorithm

_LEARNER, _PUBLISHED = "learner_", "published_"


def take_checkpoint(algorithm: "AdversarialAlgorithm") -> Checkpoint:
    """All that is needed to go on from here.

    Args:
        algorithm: between two rounds.

    Returns:
        Nets and optimisers of the learners ("learner_..."), what the runners have ("published_..."), and the counters.
    """
    tensors: dict[str, StateDict] = {}
    for name, group in algorithm.learner_groups().items():
        groups = on_learners(group, lambda learner: learner.tensors() if learner.rank == 0 else {}, name)[0]
        tensors |= {_LEARNER + net: values for net, values in groups.items()}
    tensors |= {_PUBLISHED + net: dict(values) for net, values in algorithm.weights.nets.items()}
    space = algorithm.source.space
    state = {
        "system": algorithm.config.system,
        "weights_version": algorithm.weights.version,
        "corpus": {"fingerprint": algorithm.source.fingerprint(), "name": algorithm.source.name},
        "space": {
            "vocab_size": space.vocab_size,
            "length": space.length,
            "start_id": space.start_id,
            "end_id": space.end_id,
        },
        **algorithm.extra_state(),
    }
    return Checkpoint(
        step=algorithm.step_count,
        tensors=tensors,
        state=state,
        config_yaml=algorithm.config.to_yaml(),
        tokenizer_json=algorithm.source.tokenizer_json(),
    )


def put_checkpoint(algorithm: "AdversarialAlgorithm", checkpoint: Checkpoint) -> None:
    """Go on from a checkpoint: learners first, then the runners, which get the weights they had.

    Args:
        algorithm: freshly built.
        checkpoint: what `take_checkpoint` returned, in this or another process.

    Raises:
        CheckpointError: if it belongs to another system or vocabulary.
    """
    state = checkpoint.state
    if state["system"] != algorithm.config.system:
        raise CheckpointError(f"the checkpoint is of {state['system']}, this run is {algorithm.config.system}.")
    saved, mine = state["space"]["vocab_size"], algorithm.source.space.vocab_size
    if saved != mine:
        raise CheckpointError(f"the checkpoint has a vocabulary of {saved} tokens, this run one of {mine}.")
    reference = ray.put(_with_prefix(checkpoint, _LEARNER))
    for name, group in algorithm.learner_groups().items():
        on_learners(group, lambda learner: learner.load_tensors(ray.get(reference)), name)
    algorithm.step_count = checkpoint.step
    algorithm.restore_extra_state(state)
    algorithm.weights = Weights(state["weights_version"] - 1, {})
    algorithm.publish(_with_prefix(checkpoint, _PUBLISHED))


def _with_prefix(checkpoint: Checkpoint, prefix: str) -> dict[str, StateDict]:
    """The groups of tensors whose name starts so, by the rest of the name."""
    groups = checkpoint.tensors.items()
    return {name.removeprefix(prefix): tensors for name, tensors in groups if name.startswith(prefix)}
