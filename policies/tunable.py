"""A configuration that Ray Tune can fill: its dictionaries change hyper-parameters and data, and errors have names."""

import difflib
from collections.abc import Mapping
from typing import Any

from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils.typing import PartialAlgorithmConfigDict

from rlgan.errors import ConfigError

_RLLIBS_OWN = frozenset({"model", "optimizer", "replay_buffer_config"})
"""What RLlib would hand to `training()`, which here takes the hyper-parameters of a paper."""


class TunableConfig(AlgorithmConfig):  # type: ignore[misc]
    """RLlib's configuration, with the keys "training" and "data" for what `training()` and `data()` change.

    Example:
        `SeqGANConfig().update_from_dict({"training": {"lr": 0.003}, "data": {"vocab_size": 50}, "num_env_runners": 2})`
    """

    def data(self, **changes: Any) -> "TunableConfig":
        """Change what is learned from.

        Args:
            **changes: fields of the model of the data.

        Raises:
            NotImplementedError: always; `AdversarialConfig` does it.
        """
        raise NotImplementedError

    def update_from_dict(self, config_dict: PartialAlgorithmConfigDict) -> "TunableConfig":
        """Change many settings; Tune calls it with what it has chosen for a trial.

        Args:
            config_dict: attributes by name, and "training" and "data", each with changes of some fields.

        Returns:
            This config. A name that does not exist is an error; RLlib would set it and never look at it.
        """
        settings: dict[str, Any] = {name: value for name, value in config_dict.items() if name not in _RLLIBS_OWN}
        training, data = settings.pop("training", {}), settings.pop("data", {})
        self._require_known(settings)
        super().update_from_dict(settings)
        if training:
            self.training(**training)
        if data:
            self.data(**data)
        return self

    def _require_known(self, settings: Mapping[str, Any]) -> None:
        """Refuse a name that RLlib would silently set and never read."""
        known = vars(self)
        for name in settings:
            is_tunes = name.startswith("__")  # where a trial's output goes, and what the trial is
            if not is_tunes and self._translate_special_keys(name, warn_deprecated=False) not in known:
                close = difflib.get_close_matches(name, [*known, "training", "data"], n=1)
                hint = f"perhaps you meant {close[0]!r}" if close else "hyper-parameters go under 'training'"
                raise ConfigError(f"{name}: no such setting of a trial; {hint}.")
