"""`rlgan/Latent-v0`: a policy moves a latent code, paid by the move's gain of condition and prior (PPGN's chain)."""

# B chains (one for each sub-environment), S the shape of a state

from typing import Any

import gymnasium
import numpy as np

from rlgan.chains import Chain
from rlgan.envs.latent_episode import LatentEpisodes, States, move_space, state_option, state_space


class LatentEnv(gymnasium.Env):  # type: ignore[misc]
    """See a state h, add a move to it, and be paid the gain of log p(y | G(h)) + log p(h), nats.

    The rewards of an episode add up to what its chain gained, so that a policy that earns most climbs the density that
    `rlgan.chains.Chain` samples. Where the prior is a denoising autoencoder its density is not known and the gain is
    taken along the line of the move (`log_density_gain`): what the prior pays is then a line integral, which depends on
    the path, and may be earned in circles. An episode is truncated after `num_steps` moves.

    Example:
        `LatentEnv(Chain(generator, ReconstructionPrior(denoiser), condition, rule), (64,), prior_noise_sd=0.5)`

    Attributes:
        episodes: the chain and where it stands, `episodes.place`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium declares it on the class

    def __init__(
        self, chain: Chain | None, state_shape: tuple[int, ...], num_steps: int = 100, prior_noise_sd: float = 1.0
    ) -> None:
        self.episodes = LatentEpisodes(chain, (1, *state_shape), num_steps, prior_noise_sd)
        self.observation_space, self.action_space = state_space(state_shape), move_space(state_shape)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[States, dict[str, Any]]:
        """Draw a first state, or take a given one.

        Args:
            seed: of the environment's random numbers.
            options: `{"state": h}` begins there.

        Returns:
            [*S] h, and `{"log_condition": log p(y | G(h))}`.
        """
        super().reset(seed=seed)
        given = state_option(options)
        state_1S, info = self.episodes.begin(self.np_random, None if given is None else np.asarray(given)[None])
        return state_1S[0], {"log_condition": float(info["log_condition"][0])}

    def step(self, action: Any) -> tuple[States, float, bool, bool, dict[str, Any]]:
        """Move.

        Args:
            action: [*S] in [-1, 1], else ValueError; four times as much is added to h.

        Returns:
            [*S] the new h, the gain, terminated (False), truncated, and `{"log_condition": log p(y | G(h))}`.
        """
        reward_1, state_1S, info = self.episodes.move(np.asarray(action)[None])
        is_over = not self.episodes.is_running
        return state_1S[0], float(reward_1[0]), False, is_over, {"log_condition": float(info["log_condition"][0])}


class LatentVectorEnv(gymnasium.vector.VectorEnv):  # type: ignore[misc]
    """B episodes of `LatentEnv` in lockstep, with one pass through the nets for all; the condition has B rows.

    The step after the last ignores its actions, pays 0 and shows new states (Gymnasium's NEXT_STEP autoreset).

    Attributes:
        episodes: the chains and where they stand, `episodes.place`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium declares it on the class
        "render_modes": [],
        "autoreset_mode": gymnasium.vector.AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        num_envs: int,
        chain: Chain | None,
        state_shape: tuple[int, ...],
        num_steps: int = 100,
        prior_noise_sd: float = 1.0,
    ) -> None:
        self.num_envs = num_envs
        self.episodes = LatentEpisodes(chain, (num_envs, *state_shape), num_steps, prior_noise_sd)
        self.single_observation_space, self.single_action_space = state_space(state_shape), move_space(state_shape)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[States, dict[str, Any]]:
        """Draw a first state for every row, or take given ones.

        Args:
            seed: of the environment's random numbers.
            options: `{"state": h}` begins there, [B, *S].

        Returns:
            [B, *S] states, and `{"log_condition": [B]}`.
        """
        super().reset(seed=seed)
        return self.episodes.begin(self.np_random, state_option(options))

    def step(self, actions: Any) -> tuple[States, Any, Any, Any, dict[str, Any]]:
        """Move all, or begin anew after the last move.

        Args:
            actions: [B, *S] in [-1, 1], else ValueError; ignored when the episodes begin anew.

        Returns:
            [B, *S] new states, [B] gains, [B] terminated (all False), [B] truncated, and `{"log_condition": [B]}`.
        """
        no_B = np.zeros(self.num_envs, dtype=np.bool_)
        if self.episodes.place is not None and not self.episodes.is_running:
            state_BS, info = self.episodes.begin(self.np_random)
            return state_BS, np.zeros(self.num_envs), no_B, no_B.copy(), info
        reward_B, state_BS, info = self.episodes.move(np.asarray(actions))
        return state_BS, reward_B, no_B, np.full(self.num_envs, not self.episodes.is_running), info


def make_latent_env(
    state_shape: tuple[int, ...], chain: Chain | None = None, num_steps: int = 100, prior_noise_sd: float = 1.0
) -> LatentEnv:
    """What `gymnasium.make("rlgan/Latent-v0", ...)` calls.

    Args:
        state_shape: of one state, such as (64,).
        chain: generator, prior and condition. There is no default.
        num_steps: of an episode.
        prior_noise_sd: of the noise that the prior's autoencoder was trained on; 1 where its direction is the score.

    Returns:
        The environment.
    """
    return LatentEnv(chain, state_shape, num_steps, prior_noise_sd)


def make_latent_vector_env(
    num_envs: int,
    state_shape: tuple[int, ...],
    chain: Chain | None = None,
    num_steps: int = 100,
    prior_noise_sd: float = 1.0,
) -> LatentVectorEnv:
    """What `gymnasium.make_vec("rlgan/Latent-v0", ...)` calls.

    Args:
        num_envs: B, episodes at once.
        state_shape: of one state, such as (64,).
        chain: generator, prior and condition of B rows. There is no default.
        num_steps: of an episode.
        prior_noise_sd: of the noise that the prior's autoencoder was trained on; 1 where its direction is the score.

    Returns:
        The vector environment.
    """
    return LatentVectorEnv(num_envs, chain, state_shape, num_steps, prior_noise_sd)
