"""The worker processes of a run: how many, what each asks Ray for, how long each may take, and room for learners."""

from typing import Any, ClassVar, TypeVar

from rlgan.errors import ConfigError
from rlgan.policies.learner import AdversarialLearner
from rlgan.policies.reserved_learners import ReservedLearnerGroup
from rlgan.policies.resources import Bundle, bundle, total
from rlgan.policies.tunable import TunableConfig

C = TypeVar("C", bound="WorkersConfig")


class WorkersConfig(TunableConfig):
    """RLlib's configuration of workers, with learners of the discriminator and bounds of time.

    Attributes:
        num_discriminator_learners: learner processes of the discriminator; 0 is the driver process.
        rollout_timeout_seconds: how long one shard of a round may take.
        learner_timeout_seconds: how long learner processes may take for one call, such as a retraining.
        replacement_timeout_seconds: how long to wait for workers that there is no room for, such as those of a node
            that was lost, before the run is given up.
        max_learner_restarts: how often learner processes that die are started again before the run is given up; ten
            whole rounds make up for one.
    """

    discriminator_learner_class: ClassVar[type[AdversarialLearner] | None]

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.num_discriminator_learners = 0
        self.rollout_timeout_seconds = 600.0
        self.learner_timeout_seconds = 7200.0
        self.replacement_timeout_seconds = 180.0
        self.max_learner_restarts = 10
        self.num_env_runners = 0
        self.restart_failed_env_runners = True
        self.delay_between_env_runner_restarts_s = 1.0
        self.max_num_env_runner_restarts = 100
        self.num_consecutive_env_runner_failures_tolerance = 3
        self.validate_env_runners_after_construction = False  # RLlib has no bound for it; `RunnerPool` has
        self._dont_auto_sync_env_runner_states = True

    def time_limits(
        self: C,
        rollout_seconds: float | None = None,
        learner_seconds: float | None = None,
        replacement_seconds: float | None = None,
    ) -> C:
        """Bound the time that worker processes may take; one that takes longer is ended and started again.

        Args:
            rollout_seconds: for one shard of a round; None leaves it as it is.
            learner_seconds: for one call, of which the longest is a retraining; None leaves it as it is.
            replacement_seconds: until there is room for a worker, and until a lost runner is back; None leaves it.

        Returns:
            This config.

        Raises:
            ConfigError: if one is not positive.
        """
        limits = {"rollout": rollout_seconds, "learner": learner_seconds, "replacement": replacement_seconds}
        for name, seconds in limits.items():
            if seconds is None:
                continue
            if not seconds > 0:
                raise ConfigError(f"time_limits.{name}_seconds: must be positive seconds; got {seconds}.")
            setattr(self, f"{name}_timeout_seconds", seconds)
        return self

    def discriminator_learners(self: C, num_learners: int) -> C:
        """How many processes retrain the discriminator.

        Args:
            num_learners: 0 is the driver process itself.

        Returns:
            This config.

        Raises:
            ConfigError: if it is negative.
        """
        if num_learners < 0:
            raise ConfigError(f"discriminator_learners.num_learners: must be at least 0; got {num_learners}.")
        self.num_discriminator_learners = num_learners
        return self

    def learner_bundle(self) -> Bundle:
        """What a learner process asks Ray for, of the policy or of the discriminator.

        Returns:
            RLlib's rule: one CPU unless told otherwise, and none beside a GPU.
        """
        auto = 0 if self.num_gpus_per_learner else 1
        return bundle(
            auto if self.num_cpus_per_learner == "auto" else self.num_cpus_per_learner, self.num_gpus_per_learner
        )

    def worker_bundles(self) -> list[Bundle]:
        """What every worker process of this run asks Ray for; the driver itself asks for nothing.

        Returns:
            Runners first, then policy learners and discriminator learners.
        """
        runner = bundle(self.num_cpus_per_env_runner, self.num_gpus_per_env_runner)
        num_learners = self.num_learners + len(self.discriminator_bundles())
        return [runner] * self.num_env_runners + [self.learner_bundle()] * num_learners

    def discriminator_bundles(self) -> list[Bundle]:
        """What the processes of the discriminator's own learners ask Ray for.

        Returns:
            One for each; none where the policy's learners hold the discriminator too.
        """
        is_apart = self.discriminator_learner_class is not None
        return [self.learner_bundle()] * (self.num_discriminator_learners if is_apart else 0)

    def required_cpus(self) -> float:
        """CPUs that the workers of this run ask Ray for together.

        Returns:
            The sum over `worker_bundles`.
        """
        return total(self.worker_bundles())["CPU"]

    def build_learner_group(self, *, rl_module_spec: Any = None, **kwargs: Any) -> ReservedLearnerGroup:
        """RLlib's way to the policy's learners, and ours to the discriminator's.

        Args:
            rl_module_spec: the modules of the learners.
            **kwargs: RLlib's; not needed.

        Returns:
            A group that has started.
        """
        return ReservedLearnerGroup(self.copy(), rl_module_spec, self.learner_bundle())
