"""Every figure that a generator or a set of samples is judged by: one protocol for training, reports and comparisons.

BLEU and Self-BLEU use the first `BLEU_SEQUENCES` samples, and BLEU the first `BLEU_REFERENCES` held-out sequences as
references: more would change the numbers, so these are constants and not options. Each is measured on real training
sequences too, in equal numbers, because that is the ceiling. Self-BLEU grows with the number of sequences, and
distinct-n falls: `comparable` says whether two evaluations used as many.
"""

# N sequences, T positions

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlgan.data.oracle import Oracle
from rlgan.metrics.bleu import BleuReferences, self_bleu
from rlgan.metrics.diversity import copied_fraction, distinct_n, num_distinct_sequences
from rlgan.metrics.likelihood import Tempered, held_out_nll, mean_nll, policy_entropy
from rlgan.metrics.quality_diversity import Point, quality_at_diversity
from rlgan.metrics.sequences import sequences_of
from rlgan.rollouts import sample_sequences
from rlgan.seeding import torch_generator
from rlgan.types import TokenPolicy, TokenSource

BLEU_SEQUENCES = 500
BLEU_REFERENCES = 10_000
SWEEP_TEMPERATURES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.1)


@dataclass(frozen=True)
class Evaluation:
    """What was found, and of which samples.

    Example:
        `Evaluation(figures={"gen/nll_oracle": 9.2, "gen/entropy": 6.5, ...}, samples_NT=tensor([[17, 4, ...], ...]))`

    Attributes:
        figures: values by TensorBoard tag (docs/tensorboard.md says what each is).
        samples_NT: [N, T] int64 ids that were judged.
    """

    figures: dict[str, float]
    samples_NT: Tensor


@dataclass(frozen=True)
class SweepPoint:
    """A likelihood model at one temperature.

    Example:
        `SweepPoint(temperature=0.9, figures={"gen/nll_oracle": 8.8, "gen/entropy": 5.9, ...})`

    Attributes:
        temperature: what its logits were divided by.
        figures: values by TensorBoard tag.
    """

    temperature: float
    figures: dict[str, float]


def evaluate_generator(
    generator: TokenPolicy, source: TokenSource, num_samples: int, seed: int, temperature: float = 1.0
) -> Evaluation:
    """Draw samples from a generator and judge both.

    Args:
        generator: on the CPU.
        source: held-out data, training data and, where it has one, the oracle.
        num_samples: how many sequences to draw, at least 2.
        seed: of the draw; equal seeds draw with equal random numbers at every temperature.
        temperature: what the logits are divided by, in everything that is measured.

    Returns:
        The figures of `evaluate_sequences`, and of the model itself: `gen/entropy`, its exact entropy of the next token
        averaged over its own samples, and `gen/nll_test` where there is held-out data (both nats per token).
    """
    space = source.space
    uniform_NT = torch.rand(num_samples, space.length, generator=torch_generator(seed, "evaluation"))
    samples_NT = sample_sequences(generator, space, uniform_NT, temperature)
    model = generator if temperature == 1.0 else Tempered(generator, temperature)
    figures = {"gen/entropy": policy_entropy(model, samples_NT, space).conditional}
    if len(source.held_out_NT):
        figures["gen/nll_test"] = held_out_nll(model, source.held_out_NT, space)
    return Evaluation(figures | evaluate_sequences(samples_NT, source).figures, samples_NT)


def evaluate_sequences(samples_NT: Tensor, source: TokenSource) -> Evaluation:
    """Judge sequences of any origin.

    Args:
        samples_NT: [N, T] int64 ids.
        source: what they are judged by.

    Returns:
        `gen/nll_oracle` where the source has an oracle (nats per token); BLEU against held-out sequences where it has
        none; Self-BLEU, distinct-n, the fraction of distinct sequences and of copies of training sequences, and of how
        many sequences all this is (`eval/num_sequences`).

    Raises:
        ValueError: if there are fewer than 2 sequences, or they are not of the source's space.
    """
    if len(samples_NT) < 2:
        raise ValueError(f"an evaluation needs at least 2 sequences; got {len(samples_NT)}.")
    space = source.space
    samples = sequences_of(space.check(samples_NT), space)
    oracle = oracle_of(source)
    figures = {} if oracle is None else {"gen/nll_oracle": oracle_nll(oracle, samples_NT, source)}
    figures |= _bleu_figures(samples_NT, source, has_meaning=oracle is None)
    figures |= {f"eval/distinct_{n}": value for n, value in distinct_n(samples).items()}
    figures["eval/num_sequences"] = float(len(samples))
    figures["eval/distinct_sequences"] = num_distinct_sequences(samples) / len(samples)
    figures["eval/copied_from_training"] = copied_fraction(samples, sequences_of(source.train_NT, space))
    return Evaluation(figures, samples_NT)


def mle_temperature_sweep(
    generator: TokenPolicy,
    source: TokenSource,
    temperatures: Sequence[float] = SWEEP_TEMPERATURES,
    num_samples: int = 1000,
    seed: int = 0,
) -> list[SweepPoint]:
    """What a likelihood model reaches by its temperature alone, which every other gain is measured against.

    Args:
        generator: as it was at the end of likelihood training.
        source: what it is judged by.
        temperatures: what its logits are divided by, one after the other.
        num_samples: sequences at each temperature.
        seed: of the draws.

    Returns:
        A point a temperature, in the given order.
    """
    return [
        SweepPoint(temperature, evaluate_generator(generator, source, num_samples, seed, temperature).figures)
        for temperature in temperatures
    ]


def figures_at_entropy(sweep: Sequence[SweepPoint], entropy: float) -> dict[str, float]:
    """What a sweep reaches at a given entropy, linear between its points; an `ExtrapolationError` outside them.

    Args:
        sweep: of a likelihood model.
        entropy: nats per token.

    Returns:
        Every figure that all points have and that is finite in all.
    """
    rows = [point.figures for point in sweep]
    tags = [tag for tag in rows[0] if all(math.isfinite(row.get(tag, math.nan)) for row in rows)]
    return {tag: quality_at_diversity([Point(row["gen/entropy"], row[tag]) for row in rows], entropy) for tag in tags}


def comparable(figures: Mapping[str, float], others: Mapping[str, float]) -> bool:
    """Whether Self-BLEU of two evaluations may be compared.

    Args:
        figures: of one.
        others: of the other.

    Returns:
        Whether both were measured on the same number of sequences.
    """
    tag = "eval/num_sequences"
    if tag not in figures or tag not in others:
        return False
    return min(BLEU_SEQUENCES, figures[tag]) == min(BLEU_SEQUENCES, others[tag])


def oracle_of(source: TokenSource) -> Oracle | None:
    """The oracle of a source.

    Args:
        source: any.

    Returns:
        Its oracle, or None where it has none.
    """
    oracle = getattr(source, "oracle", None)
    return oracle if isinstance(oracle, Oracle) else None


def oracle_nll(oracle: Oracle, samples_NT: Tensor, source: TokenSource) -> float:
    """NLL_oracle: mean over all tokens before the end token, which the oracle does not know.

    Args:
        oracle: what scores.
        samples_NT: [N, T] int64 ids.
        source: tells the end token.

    Returns:
        Nats per token; NaN where every sequence is empty.
    """
    end_id = source.space.end_id
    is_token_NT = source.space.mask(samples_NT)
    if end_id is not None:
        is_token_NT = is_token_NT & (samples_NT != end_id)
    if not bool(is_token_NT.any()):
        return float("nan")
    return mean_nll(oracle.nll(samples_NT.where(is_token_NT, 0)), is_token_NT)


def _bleu_figures(samples_NT: Tensor, source: TokenSource, has_meaning: bool) -> dict[str, float]:
    """Self-BLEU, and with meaning BLEU too, of the samples and of as many real training sequences."""
    space = source.space
    samples = sequences_of(samples_NT[:BLEU_SEQUENCES], space)
    figures = {f"eval/self_bleu_{n}": value for n, value in self_bleu(samples).items()}
    if has_meaning and len(source.held_out_NT):
        references = BleuReferences(sequences_of(source.held_out_NT[:BLEU_REFERENCES], space))
        figures |= {f"eval/bleu_{n}": value for n, value in references.bleu(samples).items()}
        order = torch.randperm(len(source.train_NT), generator=torch_generator(0, "real data ceiling"))
        real = sequences_of(source.train_NT[order[: len(samples)]], space)
        figures |= {f"eval/real_bleu_{n}": value for n, value in references.bleu(real).items()}
        if len(real) > 1:
            figures |= {f"eval/real_self_bleu_{n}": value for n, value in self_bleu(real).items()}
    return figures
