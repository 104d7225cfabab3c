"""Hyper-parameters of SeqGAN by Ray Tune: early stopping on held-out likelihood, TensorBoard for every trial, resume.

    python docs/examples/tune_seqgan.py runs/tune               four trials, two at a time (minutes on two CPU cores)
    python docs/examples/tune_seqgan.py runs/tune --resume      after Ctrl-C or a crash: goes on from the checkpoints

The entropy is held at 0.9 of the likelihood model's in every trial: likelihoods are compared at equal diversity.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")  # Tune's own event files lack texts and NaN

import ray
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import ASHAScheduler

from rlgan.launch.systems.seqgan import quick
from rlgan.launch.tuning import search_space
from rlgan.policies import SeqGAN
from rlgan.settings import changed

PRETRAINING = {"likelihood": {"epochs": 5}, "discriminator_training": {"pretrain_steps": 5}}
SETTINGS = changed(
    quick(),
    {
        "data": {"vocab_size": 50, "length": 8, "oracle_sequences": 640, "oracle_held_out": 500},
        "training": {**PRETRAINING, "rounds": 20},
        "log": {"eval_every": 5, "eval_samples": 200},
    },
    "run",
)
SEARCHED = {
    "lr": tune.loguniform(3e-4, 3e-2),
    "regularisation": {"likelihood_weight": tune.choice([0.0, 0.5, 1.0])},
}


def tuner(folder: Path, resume: bool) -> tune.Tuner:
    """A search whose files are in a folder, new or gone on with."""
    space = search_space(SETTINGS, SEARCHED, tensorboard=folder / "tensorboard")
    if resume:
        return tune.Tuner.restore(str(folder / "search"), SeqGAN, param_space=space, restart_errored=True)
    return tune.Tuner(
        SeqGAN,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="gen/nll_test",
            mode="min",
            num_samples=4,
            max_concurrent_trials=2,
            scheduler=ASHAScheduler(grace_period=15, max_t=30),  # rounds: 10 of pre-training, 5 to show something
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(folder),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=10, num_to_keep=2, checkpoint_at_end=True),
            callbacks=[JsonLoggerCallback()],
            verbose=0,
        ),
    )


def main() -> None:
    """Search, and print what each trial reached."""
    folder, resume = Path(sys.argv[1]).absolute(), "--resume" in sys.argv
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    results = tuner(folder, resume).fit()
    if not all(result.metrics and result.metrics.get("done") for result in results):  # Tune returns after Ctrl-C
        print("not all trials have ended: --resume goes on", file=sys.stderr)
        sys.exit(130)
    for result in results:
        chosen, reached = result.config["hyperparameters"], result.metrics
        print(
            f"lr {chosen.lr:.4f}, likelihood weight {chosen.regularisation.likelihood_weight}: "
            f"held-out {reached['gen']['nll_test']:.4f} nats per token, entropy {reached['gen']['entropy']:.3f}, "
            f"after {reached['training_iteration']} rounds{' (failed)' if result.error else ''}"
        )
    best = results.get_best_result()
    print(f"best: lr {best.config['hyperparameters'].lr:.4f}, its checkpoint: {best.checkpoint.path}")


if __name__ == "__main__":
    main()
