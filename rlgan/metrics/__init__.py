"""Functions of samples: likelihood, BLEU with Self-BLEU, diversity, and quality at equal diversity."""

from rlgan.metrics.bleu import BleuReferences, BleuReport, bleu_report, self_bleu
from rlgan.metrics.diversity import copied_fraction, distinct_n, num_distinct_sequences
from rlgan.metrics.likelihood import (
    EntropyEstimate,
    Tempered,
    held_out_nll,
    mean_nll,
    policy_entropy,
    stepwise_log_prob_and_entropy,
)
from rlgan.metrics.quality_diversity import (
    ExtrapolationError,
    Point,
    Summary,
    gain_at_equal_diversity,
    quality_at_diversity,
    summarise,
    summarise_rows,
)
from rlgan.metrics.sequences import sequences_of

__all__ = [
    "BleuReferences",
    "BleuReport",
    "EntropyEstimate",
    "ExtrapolationError",
    "Point",
    "Summary",
    "Tempered",
    "bleu_report",
    "copied_fraction",
    "distinct_n",
    "gain_at_equal_diversity",
    "held_out_nll",
    "mean_nll",
    "num_distinct_sequences",
    "policy_entropy",
    "quality_at_diversity",
    "self_bleu",
    "sequences_of",
    "stepwise_log_prob_and_entropy",
    "summarise",
    "summarise_rows",
]
