"""Frechet distance, distances between images, the judge, grids: numbers worked by hand and what real digits give."""

import math

import numpy as np
import pytest
import torch

from rlgan.data.discrete_config import DiscreteCorpusConfig
from rlgan.data.image_config import ImageCorpusConfig
from rlgan.data.image_source import load_image_source
from rlgan.errors import DataError
from rlgan.image_evaluation import ImageEvaluator, image_grid
from rlgan.judge import train_judge
from rlgan.metrics.frechet import FeatureMoments
from rlgan.metrics.images import Spread, mean_pairwise_distance, nearest_distances, total_variation
from rlgan.models.discrete_generator import DiscreteGenerator, DiscreteGeneratorConfig


def test_frechet_distance_of_known_gaussians() -> None:
    one = FeatureMoments(np.array([0.0, 0.0]), np.diag([1.0, 4.0]))
    other = FeatureMoments(np.array([3.0, 4.0]), np.diag([9.0, 1.0]))
    assert math.isclose(one.frechet_distance(other), 25 + (1 - 3) ** 2 + (2 - 1) ** 2)
    assert abs(one.frechet_distance(one)) < 1e-12


def test_frechet_distance_agrees_with_the_matrix_root_of_scipy() -> None:
    import scipy.linalg

    random = np.random.default_rng(0)
    a, b = random.normal(size=(50, 6)), random.normal(size=(50, 6)) @ random.normal(size=(6, 6)) + 1
    one, other = FeatureMoments.of(torch.tensor(a)), FeatureMoments.of(torch.tensor(b))
    root = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False)).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(
        np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * root
    )
    assert math.isclose(one.frechet_distance(other), expected, rel_tol=1e-9)
    assert math.isclose(other.frechet_distance(one), expected, rel_tol=1e-9)


def test_frechet_distance_of_a_constant_sample_is_finite() -> None:
    one = FeatureMoments.of(torch.zeros(5, 3))
    other = FeatureMoments.of(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)))
    assert 0 < one.frechet_distance(other) < 10


def test_moments_need_two_vectors() -> None:
    with pytest.raises(ValueError, match="at least two"):
        FeatureMoments.of(torch.zeros(1, 3))


def test_distances_by_hand() -> None:
    images = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    assert math.isclose(mean_pairwise_distance(images), (5 + 5 + 0) / 3, rel_tol=1e-6)
    assert torch.allclose(nearest_distances(torch.tensor([[3.0, 0.0], [0.0, 0.5]]), images), torch.tensor([3.0, 0.5]))
    assert total_variation(torch.tensor([0.5, 0.5]), torch.tensor([1.0, 0.0])) == 0.5
    with pytest.raises(ValueError, match="two of them"):
        mean_pairwise_distance(images[:1])


def test_many_images_agree_with_all_pairs() -> None:
    images = torch.rand(1100, 3, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.pdist(images.double()).mean()
    assert math.isclose(mean_pairwise_distance(images), float(expected), rel_tol=1e-9)


def test_spread_and_its_alarm() -> None:
    assert Spread(1.0, 10.0).has_collapsed and not Spread(9.0, 10.0).has_collapsed
    assert Spread(9.0, 10.0).ratio == 0.9 and Spread(0.0, 0.0).has_collapsed


def test_grid_by_hand() -> None:
    grid = image_grid(torch.tensor([0.0, 1.0, 2.0]).view(3, 1, 1, 1), num_columns=2)
    assert grid.tolist() == [[[128] * 5, [128, 0, 128, 255, 128], [128] * 5, [128, 255, 128, 128, 128], [128] * 5]]
    assert image_grid(torch.zeros(2, 3, 4, 5), 2, scale=3).shape == (3, 18, 39)
    with pytest.raises(ValueError, match="at least one image"):
        image_grid(torch.zeros(0, 1, 2, 2), 2)


@pytest.fixture(scope="module")
def digits():
    return load_image_source(ImageCorpusConfig())


@pytest.fixture(scope="module")
def evaluator(digits):
    return ImageEvaluator.of(digits, seed=0)


def test_judge_knows_digits_and_repeats(digits, evaluator) -> None:
    assert evaluator.judge.accuracy > 0.95
    one, again = (train_judge(digits, seed=1, num_steps=20) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.net.parameters(), again.net.parameters(), strict=True))


def test_held_out_images_are_the_floor_and_noise_the_ceiling(digits, evaluator) -> None:
    unit = digits.space.to_unit
    noise = torch.rand(359, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    half = unit(digits.held_out_NCHW)
    half = torch.where(torch.rand(half.shape, generator=torch.Generator().manual_seed(1)) < 0.1, 0.5, half)
    floor, near, far = (evaluator.figures(images) for images in (unit(digits.held_out_NCHW), half, noise))
    assert floor["eval/fid"] < 0.3 * near["eval/fid"] < 0.3 * far["eval/fid"]
    assert floor["eval/fid"] == floor["eval/real_fid"] and floor["eval/judge_confidence"] > far["eval/judge_confidence"]
    assert floor["eval/class_balance"] < 0.1 and floor["eval/nearest_train_distance"] > 0.1
    assert floor["eval/collapse_alarm"] == 0.0 and abs(floor["eval/diversity"] - 1) < 0.01


def test_samples_and_real_images_are_compared_in_equal_numbers(digits, evaluator) -> None:
    """The distance of 60 images is larger than that of 180 like them."""
    held_out = digits.space.to_unit(digits.held_out_NCHW)
    judge = evaluator.judge
    few, many = held_out[:60], torch.cat([held_out] * 3)
    figures = evaluator.figures(few)
    assert figures["eval/fid"] == figures["eval/fid_equal_count"] == figures["eval/real_fid"]
    assert figures["eval/real_fid"] == judge.frechet_distance(few) > 1.2 * judge.frechet_distance(held_out)
    figures = evaluator.figures(many)
    assert figures["eval/real_fid"] == judge.frechet_distance(held_out)
    assert figures["eval/fid_equal_count"] == judge.frechet_distance(many[: len(held_out)])


def test_alarm_fires_on_a_generator_forced_to_one_image(digits, evaluator) -> None:
    one = digits.space.to_unit(digits.train_NCHW[:1]).expand(100, -1, -1, -1)
    figures = evaluator.figures(one + 0.01 * torch.rand(one.shape, generator=torch.Generator().manual_seed(0)))
    assert figures["eval/collapse_alarm"] == 1.0 and figures["eval/diversity"] < 0.05
    assert figures["eval/nearest_train_distance"] < 0.1, "and it is a copy"


@pytest.mark.parametrize("levels", [2, 5])
def test_alarm_fires_on_a_generator_that_does_not_look_at_its_code(levels) -> None:
    """Pixels are drawn, so that any two images differ: only the means E[x | z] show it."""
    source = load_image_source(DiscreteCorpusConfig(levels=levels, max_images=200))
    generator = DiscreteGenerator(source.space, DiscreteGeneratorConfig(), torch.Generator().manual_seed(0))
    output = [layer for layer in generator.net.modules() if isinstance(layer, torch.nn.Linear)][-1]
    latent, random = generator.draw_latent(100, torch.Generator().manual_seed(1)), torch.Generator().manual_seed(2)
    evaluator = ImageEvaluator(source, None, {})
    with torch.no_grad():
        output.weight.mul_(50.0)
        looking = evaluator.figures(generator.images(latent, random), generator.expected_images(latent))
        output.weight.zero_()
        blind = evaluator.figures(generator.images(latent, random), generator.expected_images(latent))
    assert looking["eval/collapse_alarm"] == 0.0 and looking["eval/latent_diversity"] > 0.25
    assert blind["eval/collapse_alarm"] == 1.0 and blind["eval/latent_diversity"] == 0.0
    assert blind["eval/diversity"] > 0.25, "which alone would have been content"


def test_without_labels_there_is_no_judge(digits) -> None:
    source = load_image_source(ImageCorpusConfig(max_images=100))
    source.train_label_N = source.held_out_label_N = None
    evaluator = ImageEvaluator.of(source, seed=0)
    figures = evaluator.figures(source.space.to_unit(source.train_NCHW[:20]))
    assert "eval/fid" not in figures and figures["eval/nearest_train_distance"] < 1e-3
    with pytest.raises(DataError, match="needs labelled images"):
        train_judge(source)


def test_without_held_out_images_the_training_images_are_the_yardstick() -> None:
    source = load_image_source(ImageCorpusConfig(held_out_fraction=0, max_images=60))
    evaluator = ImageEvaluator(source, None, {})
    assert math.isclose(evaluator.figures(source.space.to_unit(source.train_NCHW))["eval/diversity"], 1.0)
