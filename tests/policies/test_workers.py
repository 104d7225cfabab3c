"""More workers change speed, never the mathematics: runners, learners, overlap, a killed runner."""

import os
import signal

import pytest
import torch

from rlgan.errors import WorkerError
from rlgan.policies import SeqGANConfig
from rlgan.policies.calls import Failure, guarded, raise_failure
from rlgan.policies.runner_pool import split_evenly
from tests.policies.conftest import tiny, train_until_restarted
from tests.policies.test_seqgan import assert_equal, final, trained

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]


def no_dropout(**training: object) -> SeqGANConfig:
    return tiny(discriminator={"dropout": 0.0}, **training)


def test_two_runners_repeat_and_their_shards_are_what_the_driver_would_compute() -> None:
    algorithm = trained(tiny().env_runners(num_env_runners=2), 4)
    version, step = algorithm.weights.version, algorithm.step_count
    local = tiny().build_algo()
    runner = local.env_runner_group.local_env_runner
    runner.set_weights(algorithm.weights)
    shards = algorithm.runners.collect(lambda remote, i: remote.rollout(4, version, step, i), 2)
    for shard, batch in enumerate(shards):
        mine = runner.rollout(4, version, step, shard)
        assert torch.equal(mine.tokens_BT, batch.tokens_BT)
        assert torch.allclose(mine.action_value_BT, batch.action_value_BT, atol=1e-6)
    assert not torch.equal(shards[0].tokens_BT, shards[1].tokens_BT), "two runners must not draw the same sequences"
    first = algorithm.checkpoint()
    algorithm.stop(), local.stop()
    assert_equal(final(tiny().env_runners(num_env_runners=2), 4), first)


def test_two_learners_do_what_one_does() -> None:
    terms = {
        "likelihood_weight": 1.0, "embedding_dropout": 0.0, "hidden_dropout": 0.0, "entropy_ratio": 0.9
    }  # fmt: skip
    one = final(no_dropout(regularisation=terms))
    two = final(no_dropout(regularisation=terms).learners(num_learners=2).discriminator_learners(2))
    for group in ("learner_generator", "learner_discriminator"):
        for name, tensor in one.tensors[group].items():
            assert torch.allclose(tensor, two.tensors[group][name], atol=2e-5), f"{group}/{name}"


def test_overlap_lags_one_round_and_resumes_bit_for_bit() -> None:
    def config() -> SeqGANConfig:
        return tiny(rounds=4, discriminator_training={"overlap": True}).discriminator_learners(1)

    algorithm = trained(config(), 2)
    lags = []
    for _ in range(2):
        algorithm.train()
        lags.append(algorithm.report.figures["rollout/weights_lag"])
    middle = algorithm.checkpoint()
    assert lags == [0.0, 1.0] and len(middle.tensors["retraining"]) == 2, "the negatives of its d-steps"
    for _ in range(2):
        algorithm.train()
    whole = algorithm.checkpoint()
    algorithm.stop()
    assert_equal(final(config(), 2, middle), whole)


def test_a_killed_runner_costs_nothing() -> None:
    undisturbed = final(tiny(rounds=4).env_runners(num_env_runners=2))
    algorithm = trained(tiny(rounds=4).env_runners(num_env_runners=2), 3)
    pids = algorithm.env_runner_group.foreach_env_runner(lambda runner: os.getpid(), local_env_runner=False)
    os.kill(pids[0], signal.SIGKILL)
    for _ in range(3):
        algorithm.train()
    assert_equal(algorithm.checkpoint(), undisturbed)
    assert train_until_restarted(algorithm, 1)["rollout/worker_restarts"] == 1
    algorithm.stop()


def test_an_exception_in_a_remote_runner_reaches_the_driver() -> None:
    algorithm = trained(tiny().env_runners(num_env_runners=1), 1)
    with pytest.raises(WorkerError, match="needs 99"):
        algorithm.runners.collect(lambda runner, i: runner.rollout(4, 99, 0, i), 1)
    with pytest.raises(WorkerError, match="ZeroDivisionError"):
        algorithm.runners.collect(lambda runner, i: 1 // i, 1)
    algorithm.train()
    algorithm.stop()


def test_failures_are_data() -> None:
    failure = guarded(lambda target: target.missing, "a worker")(object())
    assert isinstance(failure, Failure) and "AttributeError" in failure.trace
    with pytest.raises(WorkerError, match="a worker failed"):
        raise_failure(failure)


@pytest.mark.parametrize(("total", "parts", "sizes"), [(10, 3, [4, 3, 3]), (2, 5, [1, 1]), (6, 1, [6])])
def test_split_evenly(total: int, parts: int, sizes: list[int]) -> None:
    assert split_evenly(total, parts) == sizes
