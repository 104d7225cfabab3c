"""MaskGAN of stock parts: RLlib's PPO fills blanks in rlgan/Infilling-v0 and is paid log D for every word.

The language is that of ppo_token_env.py: 8 words, 36 sentences. Half of the words of a sentence are hidden, in one
block; PPO (new API stack, no memory) sees the sentence with its blanks and which one is next. After every iteration
MaskGAN's discriminator is trained on what PPO fills in now against the real sentences, and sent to the environments.

Run it: `python docs/examples/ppo_infilling_env.py` (a minute on two CPU cores), or with the number of iterations, of
rollout workers and the seed behind it: `python docs/examples/ppo_infilling_env.py 20 2 0`.
"""

# B sequences, T positions, N samples, V vocabulary

import sys
from typing import Any

import gymnasium
import ray
import torch
from ppo_token_env import SPACE, all_sentences, quality, send_reward
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.tune.registry import register_env
from torch import Tensor

from rlgan.blanks import BlankConfig, chosen, draw_blanks
from rlgan.discriminators.infilling import InfillingDiscriminator, InfillingDiscriminatorConfig
from rlgan.envs import OneHotTextVector
from rlgan.envs.one_hot import one_hot_text
from rlgan.types import InfillingRewardFn

PASSES = 6
"""Of the discriminator in an iteration: with one it stays at chance, and PPO learns nothing."""


def make_infilling_env(env_config: dict[str, Any]) -> gymnasium.vector.VectorEnv:
    """The environment as RLlib builds it, on every worker: batched, and showing the text as numbers."""
    return OneHotTextVector(gymnasium.make_vec("rlgan.envs:rlgan/Infilling-v0", **env_config))


@torch.no_grad()
def fill(policy: RLModule, real_NT: Tensor, blank_NT: Tensor, generator: torch.Generator) -> Tensor:
    """[N, T] sentences whose blanks are drawn from the policy as it is now, from left to right."""
    tokens_NT = real_NT.masked_fill(blank_NT, -1)
    while bool((tokens_NT == -1).any()):
        rows_N = (tokens_NT == -1).any(dim=1)
        position_N = (tokens_NT == -1).long().argmax(dim=1)[rows_N]
        obs_NX = torch.from_numpy(one_hot_text(tokens_NT[rows_N].numpy(), position_N.numpy(), SPACE))
        logits_NV = policy.forward_inference({"obs": obs_NX})["action_dist_inputs"]
        word_N1 = torch.multinomial(logits_NV.softmax(dim=1), 1, generator=generator)
        tokens_NT[rows_N] = tokens_NT[rows_N].scatter(1, position_N[:, None], word_N1)
    return tokens_NT


def train_discriminator(
    discriminator: InfillingDiscriminator,
    optimizer: torch.optim.Optimizer,
    real_NT: Tensor,
    fake_NT: Tensor,
    blank_NT: Tensor,
) -> None:
    """Some passes over the real sentences and the same ones filled in."""
    batches = list(zip(real_NT.split(64), fake_NT.split(64), blank_NT.split(64), strict=True))
    for real_BT, fake_BT, blank_BT in batches * PASSES:
        masks = (chosen(real_BT, blank_BT, SPACE), chosen(fake_BT, blank_BT, SPACE))
        optimizer.zero_grad()
        logits = (discriminator(real_BT, blank_BT), discriminator(fake_BT, blank_BT))
        discriminator.loss(*logits, *masks).backward()
        optimizer.step()


def ppo_config(reward_fn: InfillingRewardFn, num_env_runners: int, seed: int) -> PPOConfig:
    """Stock PPO; everything that is special to MaskGAN is in `env_config` and in the loop of `main`."""
    register_env("one_hot_text", make_infilling_env)
    infilling_env = {
        "vocab_size": SPACE.vocab_size,
        "length": SPACE.length,
        "start_id": SPACE.start_id,
        "end_id": SPACE.end_id,
        "texts": all_sentences().numpy(),
        "reward_fn": reward_fn,
    }
    return (
        PPOConfig()
        .environment("one_hot_text", env_config=infilling_env)
        .env_runners(
            num_env_runners=num_env_runners,
            num_envs_per_env_runner=32,
            gym_env_vectorize_mode="vector_entry_point",
            batch_mode="complete_episodes",
        )
        .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[64, 64], vf_share_layers=False))
        .training(
            train_batch_size_per_learner=1024,
            minibatch_size=256,
            num_epochs=6,
            lr=3e-3,
            gamma=0.9,
            lambda_=0.95,
            entropy_coeff=0.01,
        )
        .debugging(seed=seed)
    )


def main(iterations: int = 20, num_env_runners: int = 0, seed: int = 0) -> tuple[float, float]:
    """Trains both; prints and returns the share of grammatical sentences before and after."""
    generator = torch.Generator().manual_seed(seed)
    small = InfillingDiscriminatorConfig(size=32, dropout=0.0, share_embedding=False, start_from_generator=False)
    discriminator = InfillingDiscriminator(SPACE, small, generator)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=3e-3)
    ray.init(
        address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 1024**2
    )
    algorithm = ppo_config(discriminator.reward, num_env_runners, seed).build_algo()
    try:
        qualities = []
        for iteration in range(iterations + 1):
            real_NT = all_sentences()[torch.randint(36, (1024,), generator=generator)]
            blank_NT = draw_blanks(BlankConfig(), real_NT, SPACE, 0.5, generator)
            fake_NT = fill(algorithm.get_module(), real_NT, blank_NT, generator)
            grammatical, num_distinct = quality(fake_NT)
            qualities.append(grammatical)
            print(f"iteration {iteration:3d}: {grammatical:.3f} grammatical, {num_distinct} of 36 sentences")
            train_discriminator(discriminator, optimizer, real_NT, fake_NT, blank_NT)
            send_reward(algorithm, discriminator.reward)
            if iteration < iterations:
                algorithm.train()
    finally:
        algorithm.stop()
        ray.shutdown()
    print(f"grammatical before {qualities[0]:.3f}, after {qualities[-1]:.3f}")
    return qualities[0], qualities[-1]


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
