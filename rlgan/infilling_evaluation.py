"""Every figure that a generator of fills is judged by: one protocol for training, reports and comparisons.

Texts are held-out ones (training texts where nothing is held out), with blanks drawn from the seed. Where the source is
the grammar, fills are scored by their true conditional probability: a word that the grammar cannot put there counts as
one that replaced a real one, which happens to a word in a thousand (`NOISE`), so that every fill has a finite score.
BLEU compares filled-in texts with other held-out texts than those they were made of, and so do the real ones that are
its ceiling: half the words of a filled-in text are those of its real one.
"""

# N sequences, T positions

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rlgan.blanks import BlankConfig, chosen, draw_blanks, num_words
from rlgan.data.grammar_source import GrammarSource
from rlgan.evaluation import BLEU_REFERENCES, BLEU_SEQUENCES, SWEEP_TEMPERATURES, SweepPoint
from rlgan.fills import fill_blanks
from rlgan.metrics.bleu import BleuReferences, bleu_report
from rlgan.metrics.diversity import distinct_n
from rlgan.metrics.infilling import blank_nll, perplexity
from rlgan.metrics.sequences import sequences_of
from rlgan.models.infilling import InfillingGenerator, LanguageModel
from rlgan.seeding import torch_generator
from rlgan.types import TokenSource

NOISE = 1e-3
_CHUNK = 512


@dataclass(frozen=True)
class InfillingEvaluation:
    """What was found, and of which fills.

    Attributes:
        figures: values by TensorBoard tag (docs/tensorboard.md says what each is).
        real_NT: [N, T] int64 ids of the real texts.
        blank_NT: [N, T] bool.
        filled_NT: [N, T] int64 ids.
    """

    figures: dict[str, float]
    real_NT: Tensor
    blank_NT: Tensor
    filled_NT: Tensor


def evaluate_infilling(
    generator: InfillingGenerator,
    language_model: LanguageModel,
    source: TokenSource,
    blanks: BlankConfig,
    num_samples: int,
    seed: int,
    rate: float | None = None,
    temperature: float = 1.0,
) -> InfillingEvaluation:
    """Fill the blanks of held-out texts, and judge the fills and the generator.

    Args:
        generator: on the CPU.
        language_model: as it was when its own training ended.
        source: what the texts come from.
        blanks: which words are hidden.
        num_samples: texts, each with its own blanks; texts come again where there are fewer.
        seed: of blanks and fills; equal seeds have equal blanks at every temperature.
        rate: share of blanks; None: `blanks.rate`.
        temperature: divides the logits, in everything that is measured.

    Returns:
        The figures and the fills.
    """
    space = source.space
    texts_NT = source.held_out_NT if len(source.held_out_NT) else source.train_NT
    real_NT = texts_NT[torch.arange(num_samples) % len(texts_NT)]
    random = torch_generator(seed, "evaluation blanks")
    blank_NT = draw_blanks(blanks, real_NT, space, blanks.rate if rate is None else rate, random)
    uniform_NT = torch.rand(real_NT.shape, generator=random)
    chunks = zip(real_NT.split(_CHUNK), blank_NT.split(_CHUNK), uniform_NT.split(_CHUNK), strict=True)
    filled_NT = torch.cat([fill_blanks(generator, *chunk, temperature) for chunk in chunks])
    real_mask_NT, fill_mask_NT = chosen(real_NT, blank_NT, space), chosen(filled_NT, blank_NT, space)
    entropy = -blank_nll(_score(generator, temperature, 1), filled_NT, blank_NT, fill_mask_NT)
    nll_mask = blank_nll(_score(generator, temperature, 0), real_NT, blank_NT, real_mask_NT)
    figures = {"gen/nll_mask": nll_mask, "eval/masked_perplexity": perplexity(nll_mask), "gen/entropy": entropy}
    figures |= _language_model_figures(language_model, real_NT, filled_NT, blank_NT, real_mask_NT, fill_mask_NT)
    figures |= _unique_figures(real_NT, filled_NT, texts_NT, source)
    figures |= _bleu_figures(filled_NT, texts_NT, source)
    if isinstance(source, GrammarSource):
        figures |= grammar_figures(source, filled_NT, blank_NT, fill_mask_NT, entropy)
    return InfillingEvaluation(figures, real_NT, blank_NT, filled_NT)


def infilling_temperature_sweep(
    generator: InfillingGenerator,
    language_model: LanguageModel,
    source: TokenSource,
    blanks: BlankConfig,
    temperatures: Sequence[float] = SWEEP_TEMPERATURES,
    num_samples: int = 1000,
    seed: int = 0,
    rate: float | None = None,
) -> list[SweepPoint]:
    """What MaskMLE reaches by its temperature alone, which every other gain is measured against.

    Args:
        generator: as it was at the end of MaskMLE, on the CPU.
        language_model: as it was when its own training ended.
        source: what the texts come from.
        blanks: which words are hidden.
        temperatures: what the logits are divided by, one after the other.
        num_samples: texts at each temperature.
        seed: of blanks and fills.
        rate: share of blanks; None: `blanks.rate`.

    Returns:
        A point a temperature, in the given order.
    """
    rows = (
        evaluate_infilling(generator, language_model, source, blanks, num_samples, seed, rate, temperature).figures
        for temperature in temperatures
    )
    return [SweepPoint(*row) for row in zip(temperatures, rows, strict=True)]


def _score(generator: InfillingGenerator, temperature: float, which: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Log-probability (0) of the tokens at blanks, or entropy (1) of what they are drawn from, for `blank_nll`."""
    return lambda tokens_BT, blank_BT: generator.log_prob_and_entropy(tokens_BT, blank_BT, 0.0, temperature)[which]


def grammar_figures(
    source: GrammarSource, filled_NT: Tensor, blank_NT: Tensor, mask_NT: Tensor, entropy: float
) -> dict[str, float]:
    """What the grammar says of fills.

    Args:
        source: the grammar.
        filled_NT: [N, T] int64 ids.
        blank_NT: [N, T] bool.
        mask_NT: [N, T] bool, which tokens were chosen.
        entropy: of the generator where they were drawn, nats per blank.

    Returns:
        The share of grammatical texts; the true conditional log-likelihood per blank; the divergence
        KL(G || truth) per blank, which is what is left of it when diversity is accounted for (nats).
    """
    true_N = source.fill_log_prob(filled_NT, blank_NT, NOISE)
    true_log_prob = float(true_N.sum() / mask_NT.sum())
    return {
        "eval/grammatical": float(source.is_grammatical(filled_NT, blank_NT).double().mean()),
        "eval/true_log_likelihood": true_log_prob,
        "eval/divergence": -entropy - true_log_prob,
    }


def _language_model_figures(
    language_model: LanguageModel,
    real_NT: Tensor,
    filled_NT: Tensor,
    blank_NT: Tensor,
    real_mask_NT: Tensor,
    fill_mask_NT: Tensor,
) -> dict[str, float]:
    """Perplexity of the first language model: of the words at blanks, and of all words; real ones, and fills."""

    def log_prob(tokens_BT: Tensor, _: Tensor) -> Tensor:
        return language_model.log_prob(tokens_BT)

    figures = {}
    for name, tokens_NT, mask_NT in (("real", real_NT, real_mask_NT), ("fill", filled_NT, fill_mask_NT)):
        last_N = num_words(tokens_NT, blank_NT, language_model.space)
        whole_NT = torch.arange(tokens_NT.shape[1]) <= last_N[:, None]
        for part, counted_NT in (("", mask_NT), ("_text", whole_NT)):
            figures[f"eval/lm_{name}{part}_perplexity"] = perplexity(
                blank_nll(log_prob, tokens_NT, blank_NT, counted_NT)
            )
    return figures


def _unique_figures(real_NT: Tensor, filled_NT: Tensor, texts_NT: Tensor, source: TokenSource) -> dict[str, float]:
    """Distinct n-grams of the filled-in texts and of the real ones; not of these where a text comes again."""
    orders = (2, 3, 4)
    filled = distinct_n(sequences_of(filled_NT, source.space), orders)
    figures = {f"eval/distinct_{n}": value for n, value in filled.items()}
    if len(real_NT) > len(texts_NT):
        return figures
    real = distinct_n(sequences_of(real_NT, source.space), orders)
    return figures | {f"eval/real_distinct_{n}": value for n, value in real.items()}


def _bleu_figures(filled_NT: Tensor, texts_NT: Tensor, source: TokenSource) -> dict[str, float]:
    """BLEU and Self-BLEU of the first texts, at most half of them, filled in and real, against those that follow."""
    count = min(BLEU_SEQUENCES, len(filled_NT), len(texts_NT) // 2)
    if count < 2:
        return {}
    references_NT = texts_NT[count : count + BLEU_REFERENCES]
    filled, real, references = (
        sequences_of(rows_NT, source.space) for rows_NT in (filled_NT[:count], texts_NT[:count], references_NT)
    )
    found = bleu_report(filled, real, BleuReferences(references))
    named = {"bleu": found.bleu, "self_bleu": found.self_bleu}
    named |= {"real_bleu": found.real_bleu, "real_self_bleu": found.real_self_bleu}
    figures = {f"eval/{name}_{n}": value for name, by_order in named.items() for n, value in by_order.items()}
    return figures | {"eval/num_sequences": float(len(filled_NT))}
