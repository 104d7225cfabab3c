"""What a checkpoint holds of an adversarial algorithm, and how the algorithm goes on from it."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import ray

from rlgan.checkpoint import Checkpoint, require_match
from rlgan.errors import CheckpointError
from rlgan.policies.broadcast import StateDict, Weights
from rlgan.policies.calls import from_first_learner, on_learners

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
        groups = from_first_learner(group, lambda learner: learner.tensors(), name)
        tensors |= {_LEARNER + net: values for net, values in groups.items()}
    tensors |= {_PUBLISHED + net: dict(values) for net, values in algorithm.weights.nets.items()}
    state = {
        "system": algorithm.config.system,
        "weights_version": algorithm.weights.version,
        "corpus": {"fingerprint": algorithm.source.fingerprint(), "name": algorithm.source.name},
        "space": asdict(algorithm.source.space),
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
        CheckpointError: if it belongs to another system, vocabulary or architecture.
    """
    state, config = checkpoint.state, algorithm.config
    training = config.hyperparameters.model_dump(mode="json")
    architecture = {name: training[name] for name in config.architecture}
    require_match(checkpoint, algorithm.source.tokenizer_json(), {"system": config.system, "training": architecture})
    saved, mine = state["space"], asdict(algorithm.source.space)
    if saved != mine:
        raise CheckpointError(
            f"the checkpoint's sequences are {saved}, this run's are {mine}. Give the same data options."
        )
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
