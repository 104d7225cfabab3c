"""Ray Tune: a search space from the settings of a run, and what a trial shows: evaluations and its own TensorBoard."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.rllib.callbacks.callbacks import RLlibCallback

from rlgan.launch.catalogue import system_named
from rlgan.launch.options import overlaid
from rlgan.launch.run_config import RunConfig
from rlgan.launch.system import Shown
from rlgan.launch.tensorboard import TensorBoardLog
from rlgan.seeding import derive_seed


def search_space(run: RunConfig, training: Mapping[str, Any], tensorboard: Path) -> dict[str, Any]:
    """What `tune.Tuner(SeqGAN, param_space=...)` takes.

    A trial ends with the last round of its settings. Every result holds the figures of the last evaluation, under the
    tags of docs/tensorboard.md: `metric="gen/nll_test"`.

    Args:
        run: where every trial starts: a recipe, its data, its workers, and how often it is measured.
        training: hyper-parameters of the paper with distributions of Tune; a mapping goes into a nested model.
        tensorboard: folder that all nodes see; each trial has a folder of its name in it.

    Returns:
        Changes of the default configuration of the algorithm.
    """
    fixed = run.training.model_dump(exclude_defaults=True)
    data = run.data.model_dump(exclude_defaults=True)
    workers = run.workers
    return {
        "seed": run.seed,
        "training": overlaid(fixed, training),
        "data": {name: value.absolute() if isinstance(value, Path) else value for name, value in data.items()},
        "num_env_runners": workers.num_env_runners,
        "num_cpus_per_env_runner": workers.num_cpus_per_env_runner,
        "num_gpus_per_env_runner": workers.num_gpus_per_env_runner,
        "num_learners": workers.num_learners,
        "num_cpus_per_learner": workers.num_cpus_per_learner,
        "num_gpus_per_learner": workers.num_gpus_per_learner,
        "num_discriminator_learners": workers.num_discriminator_learners,
        "rollout_timeout_seconds": workers.rollout_timeout,
        "learner_timeout_seconds": workers.learner_timeout,
        "replacement_timeout_seconds": workers.patience,
        "max_learner_restarts": workers.max_learner_restarts,
        "callbacks": functools.partial(Trial, run, tensorboard.absolute()),
    }


class Trial(RLlibCallback):  # type: ignore[misc]
    """What is done after every round of a trial: TensorBoard, and every `run.log.eval_every` rounds an evaluation.

    Example:
        `SeqGANConfig().callbacks(functools.partial(Trial, quick(), Path("tensorboard")))`
    """

    def __init__(self, run: RunConfig, tensorboard: Path) -> None:
        super().__init__()
        self._run, self._tensorboard = run, tensorboard
        self._system = system_named(run.system)
        self._log: TensorBoardLog | None = None
        self._figures: dict[str, float] = {}

    def on_train_result(self, *, algorithm: Any, result: dict[str, Any], **kwargs: Any) -> None:
        """RLlib's call after a round.

        Args:
            algorithm: after the round.
            result: what Tune gets; the figures of the last evaluation are added, and the end.
            **kwargs: RLlib's.
        """
        report = algorithm.report
        log = self._log = self._log or self._opened(algorithm)
        is_last = report.step >= algorithm.total_steps
        is_due = is_last or (self._run.log.eval_every and report.step % self._run.log.eval_every == 0)
        shown = self._system.show(report, algorithm.source) if is_due else Shown()
        log.round(report, shown)
        if is_due or not self._figures:
            seed = derive_seed(algorithm.config.seed, "evaluation", report.step)
            judgement = self._system.judge(algorithm, self._run, seed)
            self._figures = judgement.figures
            log.evaluation(report.step, self._figures, judgement.samples[:10], judgement.shown)
        for tag, value in self._figures.items():
            _put(result, tag.split("/"), value)
        if is_last:
            log.hyperparameters(self._settings_of(algorithm).model_dump(mode="json"), self._figures)
            log.close()
            result["done"] = True

    def _opened(self, algorithm: Any) -> TensorBoardLog:
        """The log of this trial; after an interrupt, rounds that are done again replace what was written."""
        name = Path(algorithm.logdir).name if algorithm.logdir else "trial"  # what Tune calls the trial
        folder = self._tensorboard / name
        folder.parent.mkdir(parents=True, exist_ok=True)
        step = algorithm.report.step
        log = TensorBoardLog(folder, purge_step=step if folder.is_dir() else None)
        log.configuration(self._settings_of(algorithm).to_yaml(), step - 1)
        return log

    def _settings_of(self, algorithm: Any) -> RunConfig:
        """The settings of the run with what Tune has chosen."""
        chosen = {"training": algorithm.config.hyperparameters, "seed": algorithm.config.seed}
        return self._run.model_copy(update=chosen)


def _put(result: dict[str, Any], path: list[str], value: float) -> None:
    """Set a value in nested dictionaries."""
    for name in path[:-1]:
        result = result.setdefault(name, {})
    result[path[-1]] = value
