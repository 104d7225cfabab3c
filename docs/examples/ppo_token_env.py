"""A sequence GAN of stock parts: RLlib's PPO writes sentences in rlgan/Token-v0 and is paid by a text CNN.

The language has 8 words and 36 sentences of at most 6 tokens, such as "the cat sees a dog ." PPO (new API stack, LSTM)
never sees one: it sees its last word, and at the end of a sentence how real the discriminator thinks it is. After every
iteration the discriminator is trained on what PPO writes now against real sentences, and sent to the environments.

Run it: `python docs/examples/ppo_token_env.py` (half a minute on two CPU cores), or with the number of iterations, of
rollout workers and the seed behind it: `python docs/examples/ppo_token_env.py 20 2 0`.
"""

# B sequences, T positions, N samples, V vocabulary, S sentences of the language

import itertools
import sys
from typing import Any

import gymnasium
import ray
import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.tune.registry import register_env
from torch import Tensor

from rlgan.discriminators.text_cnn import TextCNNDiscriminator, TextCNNDiscriminatorConfig
from rlgan.envs import OneHotLastTokenVector
from rlgan.types import RewardFn, TokenSpace

WORDS = (".", "the", "a", "cat", "dog", "sees", "likes", "sleeps")
SPACE = TokenSpace(vocab_size=len(WORDS), length=6, start_id=0, end_id=0)


def all_sentences() -> Tensor:
    """Every grammatical sentence: noun phrase, then "sleeps" or a verb and a noun phrase, then "." to the end."""
    noun_phrases = [f"{article} {noun}" for article, noun in itertools.product(("the", "a"), ("cat", "dog"))]
    predicates = ["sleeps"] + [f"{verb} {phrase}" for verb in ("sees", "likes") for phrase in noun_phrases]
    sentences = [f"{phrase} {predicate}".split() for phrase, predicate in itertools.product(noun_phrases, predicates)]
    padded = [words + ["."] * (SPACE.length - len(words)) for words in sentences]
    return torch.tensor([[WORDS.index(word) for word in words] for words in padded])


def quality(tokens_NT: Tensor) -> tuple[float, int]:
    """What the GAN is not told: the share of samples that are grammatical, and how many of the 36 sentences occur."""
    is_sentence_NS = (tokens_NT[:, None] == all_sentences()[None]).all(dim=2)
    return float(is_sentence_NS.any(dim=1).float().mean()), int(is_sentence_NS.any(dim=0).sum())


def make_token_env(env_config: dict[str, Any]) -> gymnasium.vector.VectorEnv:
    """The environment as RLlib builds it, on every worker: batched, and showing the last word only."""
    return OneHotLastTokenVector(gymnasium.make_vec("rlgan.envs:rlgan/Token-v0", **env_config))


@torch.no_grad()
def write_sentences(policy: RLModule, num_sentences: int, generator: torch.Generator) -> Tensor:
    """[N, T] sentences drawn from the policy as it is now."""
    state = {name: part.expand(num_sentences, *part.shape) for name, part in policy.get_initial_state().items()}
    tokens_NT = torch.full((num_sentences, SPACE.length), SPACE.start_id)
    word_N = tokens_NT[:, 0]
    for position in range(SPACE.length):
        obs_N1V = torch.nn.functional.one_hot(word_N, SPACE.vocab_size).float()[:, None]
        out = policy.forward_inference({"obs": obs_N1V, "state_in": state})
        word_N = torch.multinomial(out["action_dist_inputs"][:, 0].softmax(dim=1), 1, generator=generator)[:, 0]
        tokens_NT[:, position], state = word_N, out["state_out"]
    return tokens_NT.where(SPACE.mask(tokens_NT), torch.tensor(SPACE.end_id))


def train_discriminator(
    discriminator: TextCNNDiscriminator, optimizer: torch.optim.Optimizer, real_NT: Tensor, fake_NT: Tensor
) -> None:
    """One pass over as many real as written sentences."""
    for real_BT, fake_BT in zip(real_NT.split(64), fake_NT.split(64), strict=True):
        optimizer.zero_grad()
        discriminator.loss(discriminator(real_BT), discriminator(fake_BT)).backward()
        optimizer.step()


def send_reward(algorithm: Algorithm, reward_fn: RewardFn) -> None:
    """Every environment of every worker pays by this function from now on."""

    def set_reward(env_runner: Any) -> None:
        if env_runner.env is not None:
            env_runner.env.unwrapped.reward_fn = reward_fn

    algorithm.env_runner_group.foreach_env_runner(set_reward)


def ppo_config(reward_fn: RewardFn, num_env_runners: int, seed: int) -> PPOConfig:
    """Stock PPO; everything that is special to a GAN is in `env_config` and in the loop of `main`."""
    register_env("one_hot_token", make_token_env)
    token_env = {
        "vocab_size": SPACE.vocab_size,
        "length": SPACE.length,
        "start_id": SPACE.start_id,
        "end_id": SPACE.end_id,
        "reward_fn": reward_fn,
    }
    return (
        PPOConfig()
        .environment("one_hot_token", env_config=token_env)
        .env_runners(
            num_env_runners=num_env_runners,
            num_envs_per_env_runner=32,
            gym_env_vectorize_mode="vector_entry_point",
            batch_mode="complete_episodes",
        )
        .rl_module(
            model_config=DefaultModelConfig(
                use_lstm=True, max_seq_len=SPACE.length, lstm_cell_size=64, fcnet_hiddens=[64]
            )
        )
        .training(
            train_batch_size_per_learner=2048,
            minibatch_size=512,
            num_epochs=6,
            lr=3e-3,
            gamma=1.0,
            lambda_=0.95,
            entropy_coeff=0.02,
        )
        .debugging(seed=seed)
    )


def main(iterations: int = 20, num_env_runners: int = 0, seed: int = 0) -> tuple[float, float]:
    """Trains both; prints and returns the share of grammatical sentences before and after."""
    generator = torch.Generator().manual_seed(seed)
    small = TextCNNDiscriminatorConfig(embedding_size=16, windows=(1, 2, 3, 4), filters=(32, 32, 32, 32))
    discriminator = TextCNNDiscriminator(SPACE, small, generator)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-3)
    ray.init(
        address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 1024**2
    )
    algorithm = ppo_config(discriminator.reward, num_env_runners, seed).build_algo()
    try:
        qualities = []
        for iteration in range(iterations + 1):
            fake_NT = write_sentences(algorithm.get_module(), 1024, generator)
            grammatical, num_distinct = quality(fake_NT)
            qualities.append(grammatical)
            print(f"iteration {iteration:3d}: {grammatical:.3f} grammatical, {num_distinct} of 36 sentences")
            real_NT = all_sentences()[torch.randint(36, (1024,), generator=generator)]
            train_discriminator(discriminator, optimizer, real_NT, fake_NT)
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
