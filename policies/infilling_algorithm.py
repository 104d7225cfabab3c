"""What a system that fills in blanks asks of its discriminator's learners, and the nets it has published."""

# B sequences (K fills of one text stand one after the other), T positions

import ray
from torch import Tensor

from rlgan.blanks import chosen
from rlgan.fills import FillBatch
from rlgan.models.infilling import InfillingGenerator, LanguageModel
from rlgan.objectives.discounted_returns import discounted_return, explained_variance
from rlgan.policies.algorithm import AdversarialAlgorithm
from rlgan.policies.broadcast import StateDict
from rlgan.policies.calls import add_parts, on_learners
from rlgan.policies.discriminator import DISCRIMINATOR
from rlgan.policies.infilling_likelihood import GENERATOR, LANGUAGE_MODEL
from rlgan.policies.maskgan_workers import MaskGANHyperparameters
from rlgan.seeding import torch_generator
from rlgan.types import TokenSource


class InfillingAlgorithm(AdversarialAlgorithm):
    """An algorithm whose discriminator starts from the generator, shares its embedding, and carries the critic."""

    source: TokenSource

    def critic_round(self, batch: FillBatch, return_BT: Tensor) -> dict[str, float]:
        """The critic's steps where it is the baseline, and how well it had foreseen the returns.

        Args:
            batch: fills that were judged.
            return_BT: [B, T] what came of them.

        Returns:
            Figures by TensorBoard tag; none with another baseline.
        """
        if self.config.hyperparameters.baseline != "critic":
            return {}
        shared = ray.put((batch.tokens_BT, batch.blank_BT, return_BT))
        learners = self.discriminator_group.learners
        parts = add_parts(on_learners(learners, lambda learner: learner.critic_step(*ray.get(shared)), DISCRIMINATOR))
        figures = {f"critic/{name}": value for name, value in parts.items()}
        explained = explained_variance(batch.value_BT, return_BT, self.mask(batch))
        return figures | {"critic/explained_variance": explained}

    def mask(self, batch: FillBatch) -> Tensor:
        """Which tokens were chosen.

        Args:
            batch: fills.

        Returns:
            [B, T] bool.
        """
        return chosen(batch.tokens_BT, batch.blank_BT, self.source.space)

    def returns(self, batch: FillBatch) -> Tensor:
        """What came of every chosen token.

        Args:
            batch: fills that were judged.

        Returns:
            [B, T] float.
        """
        return discounted_return(batch.reward_BT, self.mask(batch), self.config.hyperparameters.discount)

    @property
    def rate(self) -> float:
        """Share of blanks in all that follows MaskMLE."""
        return float(self.config.hyperparameters.blanks.last_rate)

    def start_discriminator(self, theta: StateDict) -> None:
        """The discriminator from the generator's weights, as far as the configuration says so.

        Args:
            theta: the generator's.
        """
        config: MaskGANHyperparameters = self.config.hyperparameters
        if config.discriminator.start_from_generator:
            shared = ray.put(theta)
            learners = self.discriminator_group.learners
            on_learners(learners, lambda learner: learner.start_from(ray.get(shared)), DISCRIMINATOR)
        elif config.discriminator.share_embedding:
            self.share_embedding()
        self.runners.publish({DISCRIMINATOR: self.discriminator_group.weights()})

    def share_embedding(self) -> None:
        """The generator's embedding to the discriminator's learners."""
        shared = ray.put(self.weights.nets[GENERATOR]["embedding.weight"])
        learners = self.discriminator_group.learners
        on_learners(learners, lambda learner: learner.share_embedding(ray.get(shared)), DISCRIMINATOR)

    def generator(self, name: str = GENERATOR) -> InfillingGenerator:
        """The generator as the runners have it, or as it was after MaskMLE.

        Args:
            name: "generator" or "mask_mle".

        Returns:
            A copy on the CPU.
        """
        generator: InfillingGenerator = self.config.build_generator(torch_generator(0, "replaced below"))
        generator.load_state_dict(self.weights.nets[name])
        return generator.eval()

    def language_model(self) -> LanguageModel:
        """The language model.

        Returns:
            A copy on the CPU.
        """
        space, config = self.source.space, self.config.hyperparameters
        net = LanguageModel(space, config.generator, torch_generator(0, "replaced below"))
        net.load_state_dict(self.weights.nets[LANGUAGE_MODEL])
        return net.eval()
