"""The shell of every adversarial system: phases of rounds, worker groups, versioned weights, checkpoints.

driver                    rollout runners          policy learners        discriminator learners
  | publish (blocks) ------->| set_weights              |                        |
  | collect (blocks) ------->| shards <----             |                        |
  | update (blocks) -----------------------------------> one step                |
  | retrain (blocks; with overlap it waits after the next collect) ------------->| k epochs
"""

import logging
import math
import os
from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any, ClassVar

import ray
from ray.rllib.env.env_runner_group import EnvRunnerGroup
from ray.tune.execution.placement_groups import PlacementGroupFactory

from rlgan.checkpoint import Checkpoint
from rlgan.errors import WorkerError
from rlgan.policies.broadcast import StateDict, Weights
from rlgan.policies.calls import add_parts, from_first_learner, on_learners
from rlgan.policies.checkpoints import RETRAINING, CheckpointedAlgorithm, take_checkpoint
from rlgan.policies.config import AdversarialConfig
from rlgan.policies.discriminator import DISCRIMINATOR, DiscriminatorGroup
from rlgan.policies.recovery import LearnerRecovery
from rlgan.policies.resources import require_room
from rlgan.policies.rounds import EQUAL_REWARDS, Phase, RoundReport
from rlgan.policies.runner_pool import RunnerPool, last_words, start_bounded
from rlgan.types import Source

_logger = logging.getLogger(__name__)


class AdversarialAlgorithm(CheckpointedAlgorithm):
    """An RLlib Algorithm whose `train()` is one round of the current phase.

    Attributes:
        source: what is learned from.
        step_count: rounds done.
        report: what the last round did.
        discriminator_group: the learners of the discriminator, apart from the policy's, where the system has them.
        runners: who rolls out, and what weights they have.
    """

    config_class: ClassVar[type[AdversarialConfig]]

    def __init__(self, config: Any = None, *args: Any, source: Source | None = None, **kwargs: Any) -> None:
        self._given_source = source
        super().__init__(config, *args, **kwargs)

    def __repr__(self) -> str:
        """Its name: RLlib's needs a config, which there is none of when a wrong one has been refused."""
        return type(self).__name__

    def setup(self, config: AdversarialConfig) -> None:
        """Read the corpus, then start the workers: wrong data costs no cluster.

        Args:
            config: a validated configuration.

        Raises:
            WorkerError: if the rollout runners do not start.
        """
        self.source = self._given_source or config.load_source()
        config = config.copy(copy_frozen=False)
        config.data_space = self.source.space
        config.observation_space, config.action_space = config.gym_spaces()
        config.freeze()
        self.config = config
        ensure_ray(config.required_cpus())
        require_room("the run", config.worker_bundles(), config.replacement_timeout_seconds)
        try:
            with start_bounded(lambda: getattr(self, "env_runner_group", None)):
                super().setup(config)
        except (IndexError, ray.exceptions.RayError) as error:  # RLlib asks the first runner, which may have died
            group = getattr(self, "env_runner_group", None)
            said = last_words(group) if group is not None else ""
            raise WorkerError(
                "the rollout runners did not start: their constructor failed or their process ended; one "
                f"said:\n{said or f'{type(error).__name__}: {error}'}"
            ) from error
        if config.discriminator_learner_class is not None:
            self.discriminator_group = DiscriminatorGroup(config)
        self.step_count = 0
        self.runners = RunnerPool(
            self.env_runner_group, config.rollout_timeout_seconds, config.replacement_timeout_seconds
        )
        self.report = RoundReport()
        self._recovery = LearnerRecovery(self)
        self._recovery.begin(self._begin)
        self._has_told_of_equal_rewards = False

    def _begin(self) -> None:
        """Real data to the learners, and their nets to the runners."""
        self.send_data()
        self.runners.replace(Weights(0, self.fresh_nets()))

    # What a paper says.
    def phases(self) -> list[Phase]:
        """The phases, in order.

        Raises:
            NotImplementedError: always; a paper's algorithm overrides it.
        """
        raise NotImplementedError

    def fresh_nets(self) -> dict[str, StateDict]:
        """The nets that runners need, as the learners have them now.

        Raises:
            NotImplementedError: always; a paper's algorithm overrides it.
        """
        raise NotImplementedError

    def send_data(self) -> None:
        """Give the learners their real data, once.

        Raises:
            NotImplementedError: always; a paper's algorithm overrides it.
        """
        raise NotImplementedError

    @property
    def judged_net(self) -> str:
        """The net whose change is worth an evaluation."""
        return "generator"

    # What every system does.
    def training_step(self) -> None:
        """One round of the current phase; RLlib calls it from `train()`."""
        phase, index = self.current_phase()
        started = perf_counter()
        self.report = RoundReport(phase=phase.name, phase_rounds=phase.num_rounds)
        figures = self._recovery.run(lambda: self._counted(phase, index))
        self.report.step, self.report.phase_round = self.step_count, index + 1
        self.report.seconds = perf_counter() - started
        figures[f"time/{phase.name}"] = self.report.seconds
        figures["rollout/workers_healthy"] = float(self.env_runner_group.num_healthy_remote_env_runners())
        figures["rollout/worker_restarts"] = float(max(0, self.runners.num_births - self.config.num_env_runners))
        figures["rollout/worker_timeouts"] = float(self.runners.num_timeouts)
        figures["health/learner_restarts"] = float(self._recovery.num_restarts)
        self.report.figures = figures
        self._tell_of_equal_rewards()
        for tag, value in figures.items():
            self.metrics.log_value(tuple(tag.split("/")), value, window=1)

    def _tell_of_equal_rewards(self) -> None:
        """Warn once where the generator could learn nothing from a round."""
        if self._has_told_of_equal_rewards or self.report.figures.get(EQUAL_REWARDS) != 1.0:
            return
        self._has_told_of_equal_rewards = True
        _logger.warning(
            "round %d: all rewards are equal, so that the generator has nothing to learn from them (%s is 1; this is "
            "said once)",
            self.step_count,
            EQUAL_REWARDS,
        )

    def _counted(self, phase: Phase, index: int) -> dict[str, float]:
        """A round of a phase, and one more step; returns its figures."""
        figures = phase.run(index)
        self.step_count += 1
        return figures

    def current_phase(self) -> tuple[Phase, int]:
        """Where the run is.

        Returns:
            The phase of the next round and the round's index in it; the last phase goes on for ever.
        """
        rounds_before = 0
        phases = [phase for phase in self.phases() if phase.num_rounds > 0]
        for phase in phases:
            if self.step_count < rounds_before + phase.num_rounds:
                return phase, self.step_count - rounds_before
            rounds_before += phase.num_rounds
        return phases[-1], self.step_count - rounds_before + phases[-1].num_rounds

    @property
    def total_steps(self) -> int:
        """Rounds of all phases."""
        return sum(phase.num_rounds for phase in self.phases())

    def checkpoint(self) -> Checkpoint:
        """All that is needed to go on from here.

        Returns:
            Nets and optimisers of the learners, what the runners have, and the counters.
        """
        kept = self._recovery.state
        return kept if kept is not None and kept.step == self.step_count else take_checkpoint(self)

    @property
    def last_whole(self) -> Checkpoint | None:
        """The state after the last whole round, kept while learners are processes of their own; else None."""
        return self._recovery.state

    def restore_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint.

        Args:
            checkpoint: what `checkpoint()` returned, in this or another process.
        """
        self._recovery.restore(checkpoint)

    def leave_out_round(self, before: Checkpoint) -> None:
        """Go on after a failed round as if it had changed nothing, with the random numbers of the next one.

        Args:
            before: the state that it began with. A retraining that overlapped with it is left out too: it may be what
                failed.
        """
        tensors = {name: group for name, group in before.tensors.items() if name != RETRAINING}
        self.restore_checkpoint(replace(before, step=before.step + 1, tensors=tensors))

    @property
    def weights(self) -> Weights:
        """What the runners have."""
        return self.runners.weights

    def policy_weights(self) -> dict[str, StateDict]:
        """The nets of the policy's learners as they are now.

        Returns:
            State dicts on the CPU, by the name of the net.
        """
        return from_first_learner(self.learner_group, lambda learner: learner.weights(), "policy")

    def publish_discriminator(self) -> dict[str, float]:
        """Wait for the retraining of the discriminator, and send its weights out.

        Returns:
            Its figures by TensorBoard tag; none where none was started.
        """
        fit = self.discriminator_group.finish()
        self.runners.publish({DISCRIMINATOR: self.discriminator_group.weights()})
        if fit is None:
            return {}
        self.report.histograms["disc/logits"] = fit.logits
        return {f"disc/{name}": value for name, value in fit.figures.items()}

    def update_policy(self, call: Callable[[Any], dict[str, float]]) -> dict[str, float]:
        """Run a call on every policy learner; each returns its part of every figure, and the parts add up.

        Args:
            call: gets the learner.

        Returns:
            The figures of the whole batch.
        """
        return add_parts(on_learners(self.learner_group, call, "policy"))

    @property
    def num_shards(self) -> int:
        """Shards a round is cut into: one for each runner."""
        return max(1, self.config.num_env_runners)

    def restore_env_runners(self, env_runner_group: EnvRunnerGroup) -> list[int]:
        """RLlib's call between rounds for runners that have died.

        Args:
            env_runner_group: the runners.

        Returns:
            The numbers of those that came back.
        """
        return self.runners.restore()

    def cleanup(self) -> None:
        """Stop all workers of this algorithm; RLlib calls it from `stop()`."""
        if getattr(self, "discriminator_group", None) is not None:
            self.discriminator_group.shutdown()
        super().cleanup()

    @classmethod
    def get_default_config(cls) -> AdversarialConfig:
        """What Tune changes for a trial.

        Returns:
            The paper's config, with its defaults.
        """
        return cls.config_class()

    @classmethod
    def default_resource_request(cls, config: AdversarialConfig | dict[str, Any]) -> PlacementGroupFactory:
        """What Tune reserves for a trial: RLlib's bundles and one for each discriminator learner.

        Args:
            config: the trial's config, or its changes of the default one.

        Returns:
            The bundles.
        """
        if isinstance(config, dict):
            config = cls.get_default_config().update_from_dict(config)
        request = super().default_resource_request(config)
        bundles = [*request.bundles, *config.discriminator_bundles()]
        return PlacementGroupFactory(bundles=bundles, strategy=config.placement_strategy)

    def _setup_logdir(self) -> None:
        """No folder in ~/ray_results outside Tune: `rlgan train` has a run directory of its own."""
        if self._storage is not None:
            super()._setup_logdir()


def ensure_ray(required_cpus: float) -> None:
    """Connect to Ray: a private local one unless the program has connected before.

    The private one counts as many CPUs as the run asks for: more workers than cores are slow, but they do not wait for
    ever for a CPU that will not come.

    Args:
        required_cpus: what the workers of the run ask for together.
    """
    if ray.is_initialized():
        return
    num_cpus = max(os.cpu_count() or 1, math.ceil(required_cpus))
    ray.init(
        address="local", num_cpus=num_cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING
    )
