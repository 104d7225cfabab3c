"""Ray Tune: what a search space changes, what a trial refuses, and a search that is interrupted and goes on."""

import functools
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from rlgan.checkpoint import read_checkpoint
from rlgan.errors import CheckpointError, ConfigError
from rlgan.launch.systems.seqgan import quick
from rlgan.launch.tuning import Trial, search_space
from rlgan.policies import SeqGAN, SeqGANConfig
from rlgan.policies.rounds import RoundReport
from rlgan.settings import changed
from tests.policies.conftest import tiny

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "tune_seqgan.py"


def test_a_search_space_is_the_run_with_distributions_in_it():
    run = changed(
        quick(),
        {
            "training": {"rounds": 7},
            "data": {"data": "poems.txt"},
            "workers": {"num_env_runners": 2, "max_learner_restarts": 3},
            "seed": 5,
        },
        "run",
    )
    lr, weight = tune.loguniform(1e-4, 1e-2), tune.choice([0.0, 1.0])
    space = search_space(run, {"lr": lr, "regularisation": {"likelihood_weight": weight}}, Path("board"))
    assert space["training"]["lr"] is lr and space["training"]["regularisation"]["likelihood_weight"] is weight
    space["training"]["lr"], space["training"]["regularisation"]["likelihood_weight"] = 0.002, 1.0
    config = SeqGAN.get_default_config().update_from_dict(space)
    assert isinstance(config, SeqGANConfig) and config.seed == 5 and config.num_env_runners == 2
    assert config.max_learner_restarts == 3
    expected = {"lr": 0.002, "regularisation": {"likelihood_weight": 1.0}}
    assert config.hyperparameters == changed(run.training, expected, "training")
    assert config.corpus.data == Path("poems.txt").absolute(), "a trial runs in another folder"


def test_a_config_is_a_search_space_too():
    config = tiny(lr=0.005).env_runners(num_env_runners=3).discriminator_learners(1)
    copy = SeqGAN.get_default_config().update_from_dict(config.to_dict())
    assert copy.hyperparameters == config.hyperparameters and copy.corpus == config.corpus
    assert (copy.num_env_runners, copy.num_discriminator_learners) == (3, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"lrr": 1e-3}}, "training.lrr: no such option; perhaps you meant 'lr'"),
        ({"training": {"lr": -1.0}}, "training.lr"),
        ({"data": {"vocab": 3}}, "data.vocab: no such option"),
        ({"num_env_runer": 1}, "num_env_runer: no such setting of a trial; perhaps you meant 'num_env_runners'"),
        ({"rounds": 10}, "rounds: no such setting of a trial"),
    ],
)
def test_wrong_settings_of_a_trial_are_named(changes, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        SeqGANConfig().update_from_dict(changes)
    assert SeqGANConfig().update_from_dict({"__trial_info__": 1, "__stdout_file__": None}).num_env_runners == 0


class Planted:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.usefixtures("local_ray")
def test_tunes_save_and_restore_use_our_format_and_open_no_pickle(tmp_path):
    one, other = tiny().build_algo(), tiny().build_algo()
    one.train()
    one.save(str(tmp_path / "saved"))
    assert {path.suffix for path in (tmp_path / "saved").iterdir()} <= {".safetensors", ".json", ".yaml"}
    assert read_checkpoint(tmp_path / "saved").step == 1
    other.restore(str(tmp_path / "saved"))
    assert other.step_count == 1 and one.train()["disc"] == other.train()["disc"], "the next round is the same"
    # The names that Ray would unpickle: a dictionary for Tune, a class and its state for RLlib.
    for name in ("_dict_checkpoint.pkl", "class_and_ctor_args.pkl", "algorithm_state.pkl"):
        planted = tmp_path / "saved" / name
        planted.write_bytes(pickle.dumps(Planted(tmp_path / "ran")))
        for load in (other.restore, other.restore_from_path, SeqGAN.from_checkpoint):
            with pytest.raises(CheckpointError):
                load(str(tmp_path / "saved"))
        planted.unlink()
    assert not (tmp_path / "ran").exists()
    other.restore_from_path(other.save_to_path(tmp_path / "again"))
    one.stop(), other.stop()


@pytest.mark.parametrize("again_from", [1, 3])
def test_a_trial_that_goes_on_replaces_the_rounds_that_it_does_again(again_from, tmp_path):
    run = changed(quick(), {"log": {"eval_every": 0}}, "run")
    for first, last in ((1, 5), (again_from, 4)):
        trial = Trial(run, tmp_path)
        trial._figures = {"gen/nll_test": 2.0}
        for step in range(first, last + 1):
            report = RoundReport(step=step, phase="likelihood", figures={"gen/loss": float(first)})
            config = SimpleNamespace(hyperparameters=run.training, seed=0)
            algorithm = SimpleNamespace(
                report=report, total_steps=9, config=config, source=None, logdir="/tmp/ray/session/trial_a"
            )
            result: dict[str, Any] = {"gen": {"loss": 0.0}}
            trial.on_train_result(algorithm=algorithm, result=result)
            assert result == {"gen": {"loss": 0.0, "nll_test": 2.0}}
        trial._log.close()
    scalars = EventAccumulator(str(tmp_path / "trial_a")).Reload().Scalars("gen/loss")
    expected = [(step, 1.0) for step in range(1, again_from)] + [
        (step, float(again_from)) for step in range(again_from, 5)
    ]
    assert [(event.step, event.value) for event in scalars] == expected


@pytest.mark.usefixtures("local_ray")
def test_a_trial_reports_held_out_figures_and_ends_with_its_last_round(tmp_path):
    log = {"eval_every": 2, "eval_samples": 20}
    run = changed(quick(), {"log": log}, "run")
    algorithm = tiny(rounds=2).callbacks(functools.partial(Trial, run, tmp_path)).build_algo()
    results = [algorithm.train() for _ in range(4)]
    algorithm.stop()
    assert [bool(result.get("done")) for result in results] == [False, False, False, True]
    nll = [result["gen"]["nll_test"] for result in results]
    assert nll[1] == nll[2] != nll[3], "the figures of the last evaluation"
    events = EventAccumulator(str(next(tmp_path.iterdir()))).Reload()
    assert [event.step for event in events.Scalars("gen/nll_test")] == [1, 2, 4]
    assert "samples/generated/text_summary" in events.Tags()["tensors"]


def test_the_page_gives_the_commands_that_are_run_here():
    lines = re.findall(r"```bash\n(.*?)\n```", (EXAMPLE.parents[1] / "tune.md").read_text(encoding="utf-8"))
    command = "python docs/examples/tune_seqgan.py runs/tune"
    assert lines == [command, f"{command} --resume"]


def searching(folder: Path, *words: str) -> "subprocess.Popen[str]":
    """The example, in a process and a home of its own."""
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE), str(folder), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder.parent,
        start_new_session=True,
    )


@pytest.mark.slow  # two starts of Ray, and six processes that each import RLlib
@pytest.mark.timeout(900)
def test_the_example_searches_and_goes_on_after_ctrl_c(tmp_path):
    folder = tmp_path / "tune"
    process = searching(folder)
    while process.poll() is None and not list(folder.glob("search/*/checkpoint_*/manifest.json")):
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130 and "--resume goes on" in err, (out, err)
    process = searching(folder, "--resume")
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0 and "(failed)" not in out, (out, err)
    rounds = [int(number) for number in re.findall(r"after (\d+) rounds", out)]
    assert len(rounds) == 4 and max(rounds) == 30 and min(rounds) >= 15, out
    logs = sorted((folder / "tensorboard").iterdir())
    assert len(logs) == 4
    steps = []
    for log in logs:
        scalars = EventAccumulator(str(log), purge_orphaned_data=True).Reload().Scalars("rollout/workers_healthy")
        steps.append([event.step for event in scalars])
        assert steps[-1] == list(range(1, len(steps[-1]) + 1)), "no round is missing or there twice"
    assert sorted(len(one) for one in steps) == sorted(rounds)
    best = re.search(r"its checkpoint: (.*)", out)
    assert best is not None and read_checkpoint(Path(best[1])).step in rounds
