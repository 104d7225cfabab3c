"""One evaluation of an image generator, as training reports it: figures by TensorBoard tag."""

# N images, C channels, H height, W width

from dataclasses import dataclass

import torch
from torch import Tensor

from rlgan.image_types import ImageSource, to_bytes
from rlgan.judge import Judge, train_judge
from rlgan.metrics.images import Spread, mean_pairwise_distance, nearest_distances

_NEAREST_SAMPLES = 500
_PAIRWISE_SAMPLES = 1000


@dataclass(frozen=True)
class ImageEvaluator:
    """Measures samples against one data set; made once a run, since the judge and the real figures do not change.

    Example:
        `evaluator = ImageEvaluator.of(source, seed=0)`, then `evaluator.figures(sample_NCHW)`.

    Attributes:
        source: the real images.
        judge: None where there are no labels to train one with.
        reference: figures of held-out real images, by tag: what a perfect generator would have.
    """

    source: ImageSource
    judge: Judge | None
    reference: dict[str, float]

    @classmethod
    def of(cls, source: ImageSource, seed: int) -> "ImageEvaluator":
        """Train the judge and measure the held-out images.

        Args:
            source: the real images.
            seed: of the judge.

        Returns:
            The evaluator.
        """
        is_large = min(source.space.height, source.space.width) >= 4
        judge = train_judge(source, seed) if source.train_label_N is not None and is_large else None
        unmeasured = cls(source, judge, {})
        real_NCHW = source.held_out_NCHW
        reference = unmeasured.sample_figures(source.space.to_unit(real_NCHW)) if len(real_NCHW) > 1 else {}
        if judge is not None:
            reference["judge_accuracy"] = judge.accuracy
        return cls(source, judge, reference)

    def sample_figures(self, unit_NCHW: Tensor) -> dict[str, float]:
        """Figures of a sample alone.

        Args:
            unit_NCHW: [N, C, H, W] float in [0, 1], at least two.

        Returns:
            The judge's figures, pairwise_distance and nearest_train_distance.
        """
        figures = {} if self.judge is None else self.judge.figures(unit_NCHW)
        figures["pairwise_distance"] = mean_pairwise_distance(unit_NCHW[:_PAIRWISE_SAMPLES])
        train_NCHW = self.source.space.to_unit(self.source.train_NCHW)
        figures["nearest_train_distance"] = float(nearest_distances(unit_NCHW[:_NEAREST_SAMPLES], train_NCHW).mean())
        return figures

    def figures(self, unit_NCHW: Tensor, expected_NCHW: Tensor | None = None) -> dict[str, float]:
        """Figures of a sample and of held-out real images, by TensorBoard tag.

        Args:
            unit_NCHW: [N, C, H, W] float in [0, 1], at least two.
            expected_NCHW: E[x | z] of their latent codes, where pixels are drawn: draws of one and the same code differ
                too, so that only these tell whether the code matters.

        Returns:
            eval/... of the sample, eval/real_... of held-out images, and eval/collapse_alarm, 1 when the samples are
            hardly more than one image, or the generator hardly looks at its code. The Frechet distance falls as there
            are more images: eval/fid is of all samples, eval/fid_equal_count of as many as eval/real_fid has.
        """
        figures = {f"eval/{name}": value for name, value in self.sample_figures(unit_NCHW).items()}
        real = {name: value for name, value in self.reference.items() if name != "judge_accuracy"}
        figures |= {f"eval/real_{name}": value for name, value in real.items()}
        if self.judge is not None:
            figures["eval/judge_accuracy"] = self.judge.accuracy
            figures |= self._equal_counts(self.judge, unit_NCHW, figures["eval/fid"])
        spread = self.spread(figures["eval/pairwise_distance"])
        figures |= {"eval/diversity": spread.ratio, "eval/collapse_alarm": float(spread.has_collapsed)}
        if expected_NCHW is not None:
            of_code = self.spread(mean_pairwise_distance(expected_NCHW[:_PAIRWISE_SAMPLES]))
            figures["eval/latent_diversity"] = of_code.ratio
            figures["eval/collapse_alarm"] = float(spread.has_collapsed or of_code.has_collapsed)
        return figures

    def spread(self, pairwise_distance: float) -> Spread:
        """A sample's mean pairwise distance beside that of real images.

        Args:
            pairwise_distance: of the sample.

        Returns:
            Both.
        """
        real = self.reference.get("pairwise_distance")
        if real is None:
            real = mean_pairwise_distance(self.source.space.to_unit(self.source.train_NCHW[:_PAIRWISE_SAMPLES]))
        return Spread(pairwise_distance, real)

    def _equal_counts(self, judge: Judge, unit_NCHW: Tensor, fid: float) -> dict[str, float]:
        """Frechet distances of a sample and of held-out images, as many of each: the first ones of the larger set."""
        real_NCHW = self.source.space.to_unit(self.source.held_out_NCHW)
        count = min(len(unit_NCHW), len(real_NCHW))
        if count < 2:
            return {}
        sets = {"eval/fid_equal_count": (unit_NCHW, fid), "eval/real_fid": (real_NCHW, self.reference["fid"])}
        return {
            tag: of_all if len(images_NCHW) == count else judge.frechet_distance(images_NCHW[:count])
            for tag, (images_NCHW, of_all) in sets.items()
        }


def image_grid(unit_NCHW: Tensor, num_columns: int, scale: int = 1, gap: int = 1) -> Tensor:
    """Images in rows on one grey sheet.

    Args:
        unit_NCHW: [N, C, H, W] float in [0, 1]; as many as fill whole rows, or fewer.
        num_columns: images in a row.
        scale: pixels a side that one pixel becomes.
        gap: pixels between images, before scaling.

    Returns:
        [C, height, width] uint8.

    Raises:
        ValueError: if there is no image.
    """
    if not len(unit_NCHW):
        raise ValueError("a grid needs at least one image; got none.")
    num_images, channels, height, width = unit_NCHW.shape
    num_rows = -(-num_images // num_columns)
    sheet = torch.full((channels, num_rows * (height + gap) + gap, num_columns * (width + gap) + gap), 0.5)
    for index, image_CHW in enumerate(unit_NCHW):
        top, left = (
            place * (size + gap) + gap for place, size in zip(divmod(index, num_columns), (height, width), strict=True)
        )
        sheet[:, top : top + height, left : left + width] = image_CHW.clamp(0.0, 1.0)
    large = sheet.repeat_interleave(scale, dim=1).repeat_interleave(scale, dim=2)
    return to_bytes(large)
