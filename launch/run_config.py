"""The configuration of a whole run: what config.yaml holds, what a recipe returns and what the options change."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from rlgan.policies.config import AdversarialConfig

PATIENCE_SECONDS = 180.0
"""How long a run waits at least for workers that are lost: a node that starts again is back by then."""


class WorkerConfig(BaseModel):
    """Where the work is done. More workers change the speed, never the mathematics."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    num_env_runners: int = Field(
        0, ge=0, le=10_000, description="Rollout processes; 0 rolls out in the driver process."
    )
    num_learners: int = Field(
        0, ge=0, le=1_000, description="Learner processes of the generator; 0 learns in the driver process."
    )
    num_discriminator_learners: int = Field(
        0, ge=0, le=1_000, description="Learner processes of the discriminator; 0: the driver process."
    )
    num_cpus_per_env_runner: float = Field(
        1.0, ge=0, le=1024, description="Logical CPUs of a rollout process; 0.5 puts two on a core."
    )
    num_gpus_per_env_runner: float = Field(
        0.0, ge=0, le=64, description="GPUs of a rollout process; 0.25 lets four share one, above 1 only whole ones."
    )
    num_cpus_per_learner: float = Field(
        1.0, ge=0, le=1024, description="Logical CPUs of a learner process, of the generator or the discriminator."
    )
    num_gpus_per_learner: float = Field(
        0.0, ge=0, le=64, description="GPUs of a learner process; above 0 the learners compute on a GPU."
    )
    rollout_timeout: float = Field(
        600.0, gt=0, le=1e6, description="Seconds a rollout may take before its process is given up."
    )
    learner_timeout: float = Field(
        7200.0, gt=0, le=1e6, description="Seconds a learner process may take for one call before it is given up."
    )
    max_learner_restarts: int = Field(
        10,
        ge=0,
        le=10_000,
        description="Times that learners that died are started again before the run is given up; ten whole rounds in a "
        "row make up for one; 0: never.",
    )
    address: str | None = Field(
        None,
        min_length=1,
        description="HOST:PORT of a running Ray cluster, or auto for the one on this machine. None starts a "
        "private Ray here, which ends with the run.",
    )
    connect_timeout: float = Field(
        30.0, gt=0, le=3600, description="Seconds to wait for the cluster at --address to answer."
    )
    wait: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Seconds to wait until the cluster has room for the workers of this run (default 0: none for a "
        "cluster that is too small, --connect-timeout for a busy one); in the middle of a run, 180 or these if more.",
    )

    @field_validator("num_gpus_per_env_runner", "num_gpus_per_learner")
    @classmethod
    def _share_or_whole(cls, gpus: float) -> float:
        """What Ray gives out: a share of one GPU, or whole ones."""
        if gpus > 1 and not gpus.is_integer():
            raise ValueError(f"must be at most 1, or a whole number; got {gpus:g}")
        return gpus

    @property
    def patience(self) -> float:
        """Seconds to wait for room for workers that were lost, and for lost runners."""
        return max(PATIENCE_SECONDS, self.wait)


class LogConfig(BaseModel):
    """How often a run is measured and saved, and how many rounds with a NaN it may leave out."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    eval_every: int = Field(10, ge=0, description="Rounds between two evaluations; 0: only at the end of each phase.")
    eval_samples: int = Field(1000, ge=2, le=1_000_000, description="Sequences generated for an evaluation.")
    sweep_samples: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="Sequences generated at each temperature of the likelihood model, which the final generator is "
        "compared with in the report; 0 leaves that out (`rlgan eval RUN --sweep` adds it).",
    )
    checkpoint_every: int = Field(
        50, ge=0, description="Rounds between two checkpoints; 0: by the clock and at the end of phases."
    )
    checkpoint_minutes: float = Field(
        5.0, gt=0, le=1e6, description="Minutes after which a round is followed by a checkpoint."
    )
    keep_checkpoints: int = Field(2, ge=2, le=1000, description="Verified checkpoints to keep.")
    skip_nonfinite: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Rounds with a NaN or an infinity that are undone and left out before one ends the run (0: the "
        "first does). The last round of a phase is never left out.",
    )


class RunConfig(BaseModel):
    """Everything that determines a run, but for where it is written; a system says what `training` and `data` are.

    Attributes:
        algorithm_class: configuration of the RLlib algorithm.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    algorithm_class: ClassVar[type[AdversarialConfig]]

    system: str = Field("", description="Which system is trained.")
    seed: int = Field(
        0, ge=0, lt=2**31, description="Seed of every random choice of the run but the split of the data."
    )
    training: Any = None
    data: Any = None
    workers: WorkerConfig = WorkerConfig()
    log: LogConfig = LogConfig()

    def to_yaml(self) -> str:
        """The text of config.yaml, which `--config` reads back.

        Returns:
            YAML with the sections seed, training, data, workers and log.
        """
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

    def algorithm_config(self, tokenizer_json: str | None = None) -> Any:
        """The configuration of the RLlib algorithm.

        Args:
            tokenizer_json: the vocabulary of the checkpoint to go on from; None builds one from the data.

        Returns:
            An unvalidated AlgorithmConfig: `build_algo()` checks it, reads the data and starts the workers.
        """
        config = self.algorithm_class()
        config.hyperparameters, config.corpus = self.training, self.data
        config.tokenizer_json = tokenizer_json
        workers = self.workers
        config.env_runners(
            num_env_runners=workers.num_env_runners,
            num_cpus_per_env_runner=workers.num_cpus_per_env_runner,
            num_gpus_per_env_runner=workers.num_gpus_per_env_runner,
        ).learners(
            num_learners=workers.num_learners,
            num_cpus_per_learner=workers.num_cpus_per_learner,
            num_gpus_per_learner=workers.num_gpus_per_learner,
        )
        config.discriminator_learners(workers.num_discriminator_learners)
        config.time_limits(workers.rollout_timeout, workers.learner_timeout, replacement_seconds=workers.patience)
        config.max_learner_restarts = workers.max_learner_restarts
        return config.debugging(seed=self.seed)


class Invocation(BaseModel):
    """What one call of `rlgan train` is told beside the configuration of the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Literal["quick", "paper"] = Field(
        "quick", description="Settings to start from: quick (default, minutes on 2 cores) or paper (as released)."
    )
    config: Path | None = Field(
        None, description="YAML file over the recipe, such as the config.yaml of a run; options go over both."
    )
    run_dir: Path | None = Field(
        None, description="Directory of the run's files (default: a new one, runs/SYSTEM-DATE-TIME)."
    )
    resume: str = Field(
        "never",
        min_length=1,
        description="Go on from a checkpoint: auto (the newest of --run-dir, with its config.yaml; a fresh start where "
        "there is none), a checkpoint or run directory (into a new --run-dir), or never.",
    )
    allow_data_change: bool = Field(
        False, description="Resume although the data is not what the checkpoint was made of."
    )
    debug: bool = Field(False, description="Show the traceback of an error.")


class TrainOptions(BaseModel):
    """All options of `rlgan train`; `train_options.options_class` puts a system's settings into `run`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    invocation: Invocation = Invocation()
    run: Any = None
