"""What latent episodes share, one or many at once: spaces, checks, and the reward of a move."""

# B chains (one for each sub-environment), S the shape of a state

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rlgan.chains import Chain, Place
from rlgan.errors import ConfigError, NonFiniteError
from rlgan.objectives.plug_and_play import log_density_gain

States = npt.NDArray[np.float32]

STATE_BOUND = 100.0
"""No chain that works gets there: codes are in units of their standard deviation. Spaces must be bounded."""
LARGEST_MOVE = 4.0
"""What an action of 1 adds to a number of the state; a power of two, so that the scaling rounds nothing."""


class LatentEpisodes:
    """B chains in lockstep, moved by whoever acts instead of by a rule.

    Attributes:
        chain: its generator, prior and condition are what pays; its rule is not used.
        num_steps: of an episode.
        place: where the chains stand, with images and both directions; None before the first reset.
    """

    def __init__(self, chain: Chain | None, shape_BS: tuple[int, ...], num_steps: int, prior_noise_sd: float) -> None:
        if not isinstance(chain, Chain):
            raise ConfigError(
                f"a latent environment needs a rlgan.chains.Chain, whose prior and condition pay; got {chain!r}."
            )
        if num_steps < 1 or not prior_noise_sd > 0 or min(shape_BS) < 1:
            raise ValueError(
                f"num_steps, prior_noise_sd and the shape of a state must be positive; got {num_steps}, "
                f"{prior_noise_sd} and {list(shape_BS[1:])}."
            )
        self.chain, self.num_steps = chain, num_steps
        self.place: Place | None = None
        self._shape_BS, self._prior_noise_sd = shape_BS, prior_noise_sd
        self._steps_left = 0

    @property
    def is_running(self) -> bool:
        """Whether a move may come."""
        return self._steps_left > 0

    def begin(self, random: np.random.Generator, given: Any = None) -> tuple[States, dict[str, Any]]:
        """Start all chains.

        Args:
            random: the environment's random numbers.
            given: first states; None draws them from the standard normal distribution.

        Returns:
            [B, *S] states and the info of the first places.

        Raises:
            ValueError: if given states have another shape or are out of bounds.
        """
        if given is None:
            state_BS = random.standard_normal(self._shape_BS, dtype=np.float32)
        else:
            state_BS = np.array(given, dtype=np.float32)
            if state_BS.shape != self._shape_BS or not (np.abs(state_BS) <= STATE_BOUND).all():
                raise ValueError(
                    f"state must be {list(self._shape_BS)} numbers of at most {STATE_BOUND:g} in size; got "
                    f"{list(state_BS.shape)}."
                )
        self.place = self.chain.place(torch.from_numpy(state_BS))
        self._steps_left = self.num_steps
        return self._seen()

    def move(self, action_BS: npt.NDArray[Any]) -> tuple[npt.NDArray[np.float64], States, dict[str, Any]]:
        """Move all chains.

        Args:
            action_BS: [B, *S] floats in [-1, 1]; LARGEST_MOVE times as much is added to the states.

        Returns:
            [B] rewards, [B, *S] new states and the info of the new places.

        Raises:
            ResetNeeded: if there are no running episodes.
            ValueError: if the actions have another shape, type or size.
            NonFiniteError: if a reward is NaN or infinite. RLlib would zero the gradients and train on in silence.
        """
        if self.place is None or not self.is_running:
            raise gymnasium.error.ResetNeeded("this episode has not begun or is over; call reset() before step().")
        if action_BS.shape != self._shape_BS or action_BS.dtype.kind != "f" or not (np.abs(action_BS) <= 1).all():
            raise ValueError(
                f"actions must be {list(self._shape_BS)} floats in [-1, 1]; got {action_BS.dtype} "
                f"{list(action_BS.shape)}."
            )
        old = self.place
        moved_BS = (old.state_N + LARGEST_MOVE * torch.from_numpy(action_BS.astype(np.float32))).clamp(
            -STATE_BOUND, STATE_BOUND
        )
        self.place = self.chain.place(moved_BS)
        reward_B = self._gain(old, self.place).double().cpu().numpy()
        if not np.isfinite(reward_B).all():
            raise NonFiniteError("the log-density of a state is NaN or infinite. Check the nets of the chain.")
        self._steps_left -= 1
        return reward_B, *self._seen()

    def _gain(self, old: Place, new: Place) -> Tensor:
        """[B] gain of log p(y | G(h)) + log p(h), nats."""
        condition_B = new.log_condition_N - old.log_condition_N
        density_B = new.log_density_N - old.log_density_N
        scale = self._prior_noise_sd**-2
        by_score_B = log_density_gain(old.state_N, new.state_N, scale * old.prior_N, scale * new.prior_N)
        return torch.where(density_B.isnan(), condition_B + by_score_B, density_B)

    def _seen(self) -> tuple[States, dict[str, Any]]:
        """What is shown of the places."""
        assert self.place is not None
        state_BS: States = self.place.state_N.cpu().numpy().copy()
        return state_BS, {"log_condition": self.place.log_condition_N.double().cpu().numpy()}


def state_space(shape_S: tuple[int, ...]) -> gymnasium.spaces.Box:
    """What the policy sees.

    Args:
        shape_S: of a state.

    Returns:
        A Box.
    """
    return gymnasium.spaces.Box(-STATE_BOUND, STATE_BOUND, shape_S, np.float32)


def move_space(shape_S: tuple[int, ...]) -> gymnasium.spaces.Box:
    """What the policy does: a move, in units of LARGEST_MOVE.

    Args:
        shape_S: of a state.

    Returns:
        A Box.
    """
    return gymnasium.spaces.Box(-1.0, 1.0, shape_S, np.float32)


def state_option(options: Mapping[str, Any] | None) -> Any:
    """What `reset(options=...)` says about the first state.

    Args:
        options: the options of `reset`.

    Returns:
        It; None where none is given.

    Raises:
        ValueError: if there is any other option.
    """
    options = options or {}
    unknown = sorted(set(options) - {"state"})
    if unknown:
        raise ValueError(f'reset knows the option "state" only; got {unknown}.')
    return options.get("state")
