"""What a checkpoint holds of an adversarial algorithm, and how the algorithm goes on from it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune import Checkpoint as TuneCheckpoint

from rlgan.checkpoint import Checkpoint, read_checkpoint, require_match, write_checkpoint
from rlgan.errors import CheckpointError
from rlgan.policies.broadcast import StateDict, Weights
from rlgan.policies.calls import from_first_learner, on_learners
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DiscriminatorGroup
from rlgan.policies.reserved_learners import ReservedLearnerGroup
from rlgan.policies.runner_pool import RunnerPool
from rlgan.types import Source

_LEARNER, _PUBLISHED = "learner_", "published_"
RETRAINING = "retraining"


class CheckpointedAlgorithm(Algorithm):  # type: ignore[misc]
    """An RLlib Algorithm whose checkpoints are in the format of `rlgan.checkpoint`, never RLlib's pickles."""

    config: AdversarialConfig
    source: Source
    discriminator_group: DiscriminatorGroup
    runners: RunnerPool
    step_count: int

    def checkpoint(self) -> Checkpoint:
        """All that is needed to go on from here.

        Raises:
            NotImplementedError: always; `AdversarialAlgorithm` does it.
        """
        raise NotImplementedError

    def restore_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Raises:
            NotImplementedError: always; `AdversarialAlgorithm` does it.
        """
        raise NotImplementedError

    def learner_groups(self) -> dict[str, ReservedLearnerGroup]:
        """All learners of this algorithm.

        Returns:
            Groups by what they learn.
        """
        groups = {"policy": self.learner_group}
        if self.config.discriminator_learner_class is not None:
            groups["discriminator"] = self.discriminator_group.learners
        return groups

    def extra_state(self) -> dict[str, Any]:
        """Counters of a paper's own.

        Returns:
            JSON values; none by default.
        """
        return {}

    def restore_extra_state(self, state: dict[str, Any]) -> None:
        """The reverse of `extra_state`.

        Args:
            state: the whole state of the checkpoint.
        """

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """What Tune calls.

        Args:
            checkpoint_dir: an existing folder.
        """
        write_checkpoint(Path(checkpoint_dir), self.checkpoint())

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """What Tune calls.

        Args:
            checkpoint_dir: a folder that `save_checkpoint` has filled.
        """
        self.restore_checkpoint(read_checkpoint(Path(checkpoint_dir)))

    def restore(self, checkpoint_path: Any) -> None:
        """Tune's call, which would unpickle a file of a certain name: only a folder with nothing but ours gets there.

        Args:
            checkpoint_path: a folder, a checkpoint of Tune, or a result with one.
        """
        checkpoint = getattr(checkpoint_path, "checkpoint", checkpoint_path)
        if not isinstance(checkpoint, TuneCheckpoint):
            checkpoint = TuneCheckpoint(str(checkpoint))
        with checkpoint.as_directory() as folder:
            read_checkpoint(Path(folder))
        super().restore(checkpoint_path)

    def save_to_path(self, path: str | Path, **kwargs: Any) -> str:
        """RLlib's name for `save_checkpoint`.

        Args:
            path: a new or empty folder.
            **kwargs: RLlib's; not needed.

        Returns:
            The folder.
        """
        write_checkpoint(Path(path), self.checkpoint())
        return str(path)

    def restore_from_path(self, path: str | Path, *args: Any, **kwargs: Any) -> None:
        """RLlib's name for `load_checkpoint`; RLlib's own reads pickles.

        Args:
            path: a folder that `save_to_path` or `save_checkpoint` has filled.
            *args: RLlib's; not needed.
            **kwargs: RLlib's; not needed.
        """
        self.load_checkpoint(str(path))

    @classmethod
    def from_checkpoint(cls, *args: Any, **kwargs: Any) -> Any:
        """RLlib's way to make an algorithm of pickles.

        Args:
            *args: ignored.
            **kwargs: ignored.

        Raises:
            CheckpointError: always: a checkpoint of rlgan cannot say which code to run.
        """
        raise CheckpointError(
            f"{cls.__name__}.from_checkpoint: a checkpoint of rlgan holds no code. Build the algorithm from its config "
            "and call restore_from_path on it."
        )


def take_checkpoint(algorithm: CheckpointedAlgorithm) -> Checkpoint:
    """All that is needed to go on from here.

    Args:
        algorithm: between two rounds.

    Returns:
        Nets and optimisers of the learners ("learner_..."), what the runners have ("published_..."), the negatives of a
        retraining that is under way ("retraining"; the learners' tensors are those before it), and the counters.
    """
    learned = from_first_learner(algorithm.learner_group, lambda learner: learner.tensors(), "policy")
    retraining = None
    if algorithm.config.discriminator_learner_class is not None:
        learned |= algorithm.discriminator_group.tensors()
        retraining = algorithm.discriminator_group.retraining
    tensors: dict[str, StateDict] = {_LEARNER + net: values for net, values in learned.items()}
    tensors |= {_PUBLISHED + net: dict(values) for net, values in algorithm.runners.weights.nets.items()}
    state = {
        "system": algorithm.config.system,
        "weights_version": algorithm.runners.weights.version,
        "corpus": {"fingerprint": algorithm.source.fingerprint(), "name": algorithm.source.name},
        "space": asdict(algorithm.source.space),
        **algorithm.extra_state(),
    }
    if retraining is not None:
        tensors[RETRAINING] = {str(d_step): batch for d_step, batch in enumerate(retraining.negatives)}
        state["retraining_first_d_step"] = retraining.first_d_step
    return Checkpoint(
        step=algorithm.step_count,
        tensors=tensors,
        state=state,
        config_yaml=algorithm.config.to_yaml(),
        tokenizer_json=algorithm.source.tokenizer_json(),
    )


def put_checkpoint(algorithm: CheckpointedAlgorithm, checkpoint: Checkpoint) -> None:
    """Go on from a checkpoint: learners first, then the runners, which get the weights they had, then a retraining.

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
    if config.discriminator_learner_class is not None:
        algorithm.discriminator_group.abandon()
    reference = ray.put(_with_prefix(checkpoint, _LEARNER))
    for name, group in algorithm.learner_groups().items():
        on_learners(group, lambda learner: learner.load_tensors(ray.get(reference)), name)
    algorithm.step_count = checkpoint.step
    algorithm.restore_extra_state(state)
    algorithm.runners.replace(Weights(state["weights_version"], _with_prefix(checkpoint, _PUBLISHED)))
    negatives = checkpoint.tensors.get(RETRAINING)
    if negatives is not None:
        batches = [negatives[str(d_step)] for d_step in range(len(negatives))]
        algorithm.discriminator_group.start_overlapped(batches, state["retraining_first_d_step"])


def _with_prefix(checkpoint: Checkpoint, prefix: str) -> dict[str, StateDict]:
    """The groups of tensors whose name starts so, by the rest of the name."""
    groups = checkpoint.tensors.items()
    return {name.removeprefix(prefix): tensors for name, tensors in groups if name.startswith(prefix)}
