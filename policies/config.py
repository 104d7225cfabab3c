"""The configuration all systems share: RLlib's, with rlgan's hyper-parameters and corpus as validated models."""

from typing import Any, ClassVar

import gymnasium
import yaml
from pydantic import BaseModel
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from rlgan.data import CorpusConfig, load_source, require_sequences
from rlgan.errors import ConfigError
from rlgan.policies.discriminator import DiscriminatorLearner
from rlgan.policies.learner import AdversarialLearner
from rlgan.policies.runner import BatchRunner
from rlgan.policies.workers_config import WorkersConfig
from rlgan.settings import changed
from rlgan.types import Source


class AdversarialConfig(WorkersConfig):
    """A configuration of a generator, its discriminator, and the workers that train them.

    Example:
        `SeqGANConfig().data(data="poems.txt").training(num_rollouts=8).env_runners(num_env_runners=2).build_algo()`

    Attributes:
        hyperparameters: the paper's model; `.training()`, `.generator()` and `.discriminator()` change it.
        corpus: what to learn from; `.data()` changes it.
        tokenizer_json: the vocabulary of a checkpoint that is resumed; None builds it from the corpus.
        data_space: what an example is, such as a `TokenSpace`; known once the corpus has been read.
    """

    system: ClassVar[str]
    hyperparameters_class: ClassVar[type[BaseModel]]
    corpus_class: ClassVar[type[BaseModel]] = CorpusConfig
    runner_class: ClassVar[type[BatchRunner]]
    policy_learner_class: ClassVar[type[AdversarialLearner]]
    discriminator_learner_class: ClassVar[type[AdversarialLearner] | None] = DiscriminatorLearner
    """None where the policy's learners hold the discriminator too."""
    architecture: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    """Hyper-parameters that a checkpoint must share to be loaded: what the nets look like."""
    fixed_on_resume: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    """Hyper-parameters, with dots for nested ones, that a run keeps for good; the others may change on resume."""
    fixed_data: ClassVar[tuple[str, ...]] = ()
    """Settings of the data that a run keeps for good."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.hyperparameters: Any = self.hyperparameters_class()
        self.corpus: Any = self.corpus_class()
        self.tokenizer_json: str | None = None
        self.data_space: Any = None
        self.seed = 0
        self.env_runner_cls = self.runner_class
        self.framework_str = "torch"

    @classmethod
    def settings_fixed_on_resume(cls, settings: BaseModel) -> tuple[str, ...]:
        """What a run with these settings keeps for good.

        Args:
            settings: its hyper-parameters.

        Returns:
            Names, with dots for nested ones.
        """
        del settings
        return cls.fixed_on_resume

    def training(self, **changes: Any) -> "AdversarialConfig":
        """Change hyper-parameters.

        Args:
            **changes: fields of the paper's model; a dict changes the named fields of a nested model.

        Returns:
            This config.
        """
        self.hyperparameters = changed(self.hyperparameters, changes, "training")
        return self

    def generator(self, **changes: Any) -> "AdversarialConfig":
        """Change the generator.

        Args:
            **changes: fields of its config.

        Returns:
            This config.
        """
        return self.training(generator=changes)

    def discriminator(self, **changes: Any) -> "AdversarialConfig":
        """Change the discriminator.

        Args:
            **changes: fields of its config.

        Returns:
            This config.
        """
        return self.training(discriminator=changes)

    def data(self, **changes: Any) -> "AdversarialConfig":
        """Change what is learned from.

        Args:
            **changes: fields of the model of `corpus_class`.

        Returns:
            This config.
        """
        self.corpus = changed(self.corpus, changes, "data")
        return self

    @property
    def space(self) -> Any:
        """What an example is, once the corpus has been read: a frozen dataclass such as `TokenSpace`."""
        assert self.data_space is not None, "the corpus has not been read yet"
        return self.data_space

    def load_source(self) -> Source:
        """Read or make what is learned from; a paper that does not learn from sequences overrides it.

        Returns:
            The source, checked.
        """
        source = load_source(self.corpus, self.tokenizer_json)
        require_sequences(source, self.smallest_corpus())
        return source

    def gym_spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """Observation and action space, which RLlib asks for; a paper whose actions are no tokens overrides it.

        Returns:
            A sequence of ids, and an id.
        """
        space = self.space
        return gymnasium.spaces.MultiDiscrete([space.vocab_size] * space.length), gymnasium.spaces.Discrete(
            space.vocab_size
        )

    def build_on(self, source: Source) -> Any:
        """As `build_algo`, on data that has been read already.

        Args:
            source: what `load_source` returned.

        Returns:
            The algorithm.
        """
        self.validate()
        self.freeze()
        return self.algo_class(config=self, source=source)

    def require_even_batch(self, *counts: str) -> None:
        """What a paper asks for whose gradients are means over equal parts of a batch.

        Args:
            *counts: names of numbers of learners.

        Raises:
            ConfigError: if a batch cannot be shared evenly among so many.
        """
        for name in counts:
            num_learners = max(1, getattr(self, name))
            if self.hyperparameters.batch_size % num_learners:
                raise ConfigError(
                    f"training.batch_size: {self.hyperparameters.batch_size} examples cannot be shared evenly among "
                    f"{num_learners} learners ({name}). Choose a multiple of {num_learners}."
                )

    def policy_modules(self) -> dict[str, RLModuleSpec]:
        """The RLModules of the policy learners, by name.

        Raises:
            NotImplementedError: always; a paper's config overrides it.
        """
        raise NotImplementedError

    def discriminator_module(self) -> RLModuleSpec:
        """The RLModule of the discriminator learners.

        Raises:
            NotImplementedError: always; a paper's config overrides it.
        """
        raise NotImplementedError

    def smallest_corpus(self) -> int:
        """How many training examples are needed at least; a paper with batches of several sizes overrides it.

        Returns:
            One batch.
        """
        return int(self.hyperparameters.batch_size)

    def get_multi_rl_module_spec(self, **kwargs: Any) -> MultiRLModuleSpec:
        """RLlib's question for the modules of the policy learners.

        Args:
            **kwargs: RLlib's; not needed.

        Returns:
            The modules of `policy_modules`.
        """
        return MultiRLModuleSpec(rl_module_specs=self.policy_modules())

    def get_default_learner_class(self) -> type:
        """RLlib's question for the policy learner.

        Returns:
            The paper's learner class.
        """
        return self.policy_learner_class

    def to_yaml(self) -> str:
        """What a checkpoint keeps of this config, readable by `rlgan train --config`.

        Returns:
            YAML text: system, training, data, seed.
        """
        content = {
            "system": self.system,
            "seed": self.seed,
            "training": self.hyperparameters.model_dump(mode="json"),
            "data": self.corpus.model_dump(mode="json"),
        }
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def validate(self) -> None:
        """RLlib's checks, and ours for options that contradict each other.

        Raises:
            ConfigError: if the discriminator is to overlap without a process of its own.
        """
        super().validate()
        training = getattr(self.hyperparameters, "discriminator_training", None)
        if getattr(training, "overlap", False) and self.num_discriminator_learners == 0:
            raise ConfigError(
                "training.discriminator_training.overlap: the discriminator can only be retrained beside the rollouts "
                "in a process of its own; set num_discriminator_learners to 1."
            )
