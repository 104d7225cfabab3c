"""What a run's figures say and do not say, in sentences for the report."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rlgan.evaluation import SweepPoint, comparable
from rlgan.launch.history import HistoryEntry
from rlgan.launch.plots import axes_for
from rlgan.metrics.quality_diversity import ExtrapolationError, Point, quality_at_diversity

MEANINGS = {
    "gen/nll_oracle": "NLL oracle: how surprising the generator's samples are to the oracle, nats per token. Low is "
    "good at equal entropy; repeated safe sequences score low too.",
    "gen/nll_test": "NLL held out: how surprising real sequences that were never trained on are to the generator, nats "
    "per token. Low is good; it rises when the generator forgets part of the data.",
    "gen/entropy": "Entropy: how many choices the generator leaves itself at each token, nats per token. It falls when "
    "the generator becomes less diverse.",
    "eval/true_log_likelihood": "true log-likelihood: of the fills given the words around them, by the grammar itself, "
    "nats per blank. High is good at equal entropy.",
    "eval/divergence": "divergence: what is lost to the truth in quality and diversity together, nats per blank; 0 is "
    "perfect.",
    "eval/masked_perplexity": "masked perplexity: of the real words at blanks, to the generator. Low is good.",
    "eval/lm_fill_perplexity": "perplexity of fills: to the language model of the first phase, which sees what stands "
    "before a word only. Low is good at equal diversity.",
    "eval/bleu_3": "BLEU-n: n-grams of the samples that held-out sequences contain too, from 0 to 1. The ceiling is "
    "what as many real training sequences score.",
    "eval/self_bleu_3": "Self-BLEU-n: n-grams that samples share with other samples, from 0 to 1. High is repetitive.",
    "eval/distinct_2": "distinct-n: different n-grams divided by all n-grams of the samples.",
    "eval/distinct_sequences": "distinct sequences: the fraction of samples that differ from each other.",
    "eval/copied_from_training": "copied: the fraction of samples that are training sequences, token for token.",
    "eval/fid": "Frechet distance: between features of samples and of training images, by a judge trained on these "
    "images. Low is good; it compares runs on the same data and equal numbers of images only.",
    "eval/fid_equal_count": "Frechet distance, equal numbers: of as many samples as held-out images. The figure of "
    "real data is of as many held-out images.",
    "eval/class_balance": "class total variation: between the labels of the samples and of the training images; 0 is "
    "the same, 1 disjoint.",
    "eval/diversity": "diversity: mean distance of two samples over that of two real images. 1 is as varied as these.",
    "eval/nearest_train_distance": "nearest training image: mean distance of a sample to it. Far below that of real "
    "data, the generator copies.",
    "eval/condition_accuracy": "condition accuracy: images that the net which steered them labels as was asked. It "
    "proves nothing alone: chains climb this net. Read the judge's beside it.",
    "eval/within_class_distance": "within-class distance: mean distance of two samples of one label.",
}


def reading_notes(
    history: Sequence[HistoryEntry],
    config: Mapping[str, Any],
    sweep: Sequence[SweepPoint],
    final: Mapping[str, float] | None = None,
) -> list[str]:
    """Sentences about a run.

    Args:
        history: of the run.
        config: the content of config.yaml.
        sweep: temperature sweep of the likelihood model, or nothing.
        final: figures of the final generator by the protocol of the sweep; None takes the last evaluation.

    Returns:
        Plain text, most important first.
    """
    evaluations = [entry for entry in history if entry.kind == "eval"]
    adversarial = [entry for entry in evaluations if entry.phase == "adversarial"]
    before = [entry for entry in evaluations if entry.phase != "adversarial"]
    notes = [*_control(config)]
    if any("gen/nll_oracle" in entry.figures for entry in evaluations):
        notes.append(
            "NLL oracle alone proves nothing: with no discriminator at all, a reward of 1 for everything lowers it "
            "too, by making the generator less diverse. Read it together with entropy and held-out NLL, and compare "
            "with the controls (--reward-ablation constant, --reward-ablation random) and with the likelihood model at "
            "a temperature of equal entropy."
        )
    if before and adversarial:
        notes += _change(before[-1].figures, adversarial[-1].figures)
    if adversarial:
        notes += _against_sweep(final or adversarial[-1].figures, sweep)
    notes += _discriminator(history)
    comparison = ""
    if any("gen/nll_test" in entry.figures or "gen/nll_oracle" in entry.figures for entry in evaluations):
        comparison = (
            " `rlgan eval --compare RUN RUN ...` puts several seeds, the controls and the likelihood model at equal "
            "diversity into one plot and table."
        )
    notes.append(f"This is one seed.{comparison}")
    return notes


def _control(config: Mapping[str, Any]) -> list[str]:
    """Whether the run is a control."""
    reward = _section(config, "training").get("reward", "discriminator")
    if reward == "discriminator":
        return []
    return [f"This run is a control: its reward is {reward} and ignores the discriminator. No gain in it is learned."]


def _change(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """What the adversarial rounds did to the three figures that belong together."""
    names = {"gen/nll_oracle": "NLL oracle", "gen/nll_test": "held-out NLL", "gen/entropy": "entropy"}
    parts = [
        f"{name} went from {before[tag]:.3f} to {after[tag]:.3f} ({after[tag] - before[tag]:+.3f})"
        for tag, name in names.items()
        if tag in before and tag in after
    ]
    return [f"Since the adversarial rounds began: {', '.join(parts)} nats per token."] if parts else []


def _against_sweep(figures: Mapping[str, float], sweep: Sequence[SweepPoint]) -> list[str]:
    """The comparison at equal diversity, or why there is none."""
    axes = axes_for(figures)
    if axes is None:
        return []
    diversity, quality = axes
    if not sweep:
        return ["This report has no temperature sweep of the likelihood model: `rlgan eval RUN --sweep` adds it."]
    if diversity.needs_equal_numbers and not all(comparable(point.figures, figures) for point in sweep):
        return ["The temperature sweep was measured on another number of sequences, and Self-BLEU depends on it."]
    curve = [
        Point(diversity.directed(point.figures[diversity.tag]), quality.directed(point.figures[quality.tag]))
        for point in sweep
    ]
    try:
        at_equal = quality_at_diversity(curve, diversity.directed(figures[diversity.tag]))
    except ExtrapolationError:
        return ["The generator is outside the temperature sweep, so there is no comparison at equal diversity."]
    except ValueError:
        return ["The temperature sweep has no two finite points, so there is no comparison at equal diversity."]
    gap = quality.directed(figures[quality.tag]) - at_equal
    verdict = "better" if gap > 0 else "worse"
    same, what = diversity.label.split(" (")[0], quality.label.split(" (")[0]
    return [
        f"At the same {same}, the likelihood model reaches {what} {quality.directed(at_equal):.3f} by its temperature "
        f"alone; this generator has {figures[quality.tag]:.3f}, {abs(gap):.3f} {verdict}. These are single draws of "
        "samples: a few hundredths may be chance."
    ]


def _discriminator(history: Sequence[HistoryEntry]) -> list[str]:
    """How well the discriminator did in the last tenth of its retrainings, and whether rewards told anything apart."""
    notes = []
    fits = [entry.figures for entry in history if "disc/acc_fake" in entry.figures]
    last = fits[-max(1, len(fits) // 10) :]
    if last:
        real, fake = (_mean([row.get(f"disc/acc_{kind}", math.nan) for row in last]) for kind in ("real", "fake"))
        text = f"The discriminator was right on {real:.1%} of real and {fake:.1%} of generated sequences at the end."
        if min(real, fake) > 0.98:
            text += " It tells them apart almost always, so its reward differs little between sequences."
        elif max(abs(real - 0.5), abs(fake - 0.5)) < 0.05:
            text += " It tells nothing apart, so its reward is noise: it is too weak, or the generator is that good."
        notes.append(text)
    no_spread = [e.figures["gen/frac_reward_zero_std"] for e in history if "gen/frac_reward_zero_std" in e.figures]
    if no_spread and _mean(no_spread) > 0.5:
        share = f"{_mean(no_spread):.0%}"
        notes.append(
            f"At {share} of positions (BGAN: latent codes) everything that was compared had the same reward: there was "
            "nothing to learn."
        )
    return notes


def _mean(values: Sequence[float]) -> float:
    """Mean of what is finite."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A section of the config, empty where it is missing."""
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}
