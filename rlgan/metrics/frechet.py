"""Distance between two sets of feature vectors as if both were Gaussian: the formula behind FID (arXiv:1706.08500)."""

# N samples, F features

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FeatureMoments:
    """Mean and covariance of feature vectors.

    Example:
        `FeatureMoments.of(features_NF).frechet_distance(other)`

    Attributes:
        mean_F: [F].
        covariance_FF: [F, F], unbiased.
    """

    mean_F: Floats
    covariance_FF: Floats

    @classmethod
    def of(cls, features_NF: Tensor) -> "FeatureMoments":
        """The moments of a sample.

        Args:
            features_NF: [N, F] float.

        Returns:
            In float64.

        Raises:
            ValueError: if there are fewer than two vectors.
        """
        if features_NF.ndim != 2 or len(features_NF) < 2:
            raise ValueError(f"moments need at least two feature vectors, [N, F]; got {list(features_NF.shape)}.")
        values_NF = features_NF.detach().double().cpu().numpy()
        return cls(values_NF.mean(axis=0), np.atleast_2d(np.cov(values_NF, rowvar=False)))

    def frechet_distance(self, other: "FeatureMoments") -> float:
        """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).

        The trace of the root is the sum of the roots of the eigenvalues of C1^(1/2) C2 C1^(1/2), which is symmetric: no
        complex root of a product that is not.

        Args:
            other: moments of the same features.

        Returns:
            The squared distance, >= 0 but for rounding. It is biased upwards by small samples: compare equal numbers.
        """
        root_FF = _symmetric_root(self.covariance_FF)
        eigenvalues_F = np.linalg.eigvalsh(root_FF @ other.covariance_FF @ root_FF)
        trace_of_root = float(np.sqrt(np.clip(eigenvalues_F, 0.0, None)).sum())
        difference_F = self.mean_F - other.mean_F
        traces = float(np.trace(self.covariance_FF) + np.trace(other.covariance_FF))
        return float(difference_F @ difference_F) + traces - 2.0 * trace_of_root


def _symmetric_root(covariance_FF: Floats) -> Floats:
    """The root of a positive semi-definite matrix."""
    eigenvalues_F, vectors_FF = np.linalg.eigh(covariance_FF)
    root_FF: Floats = (vectors_FF * np.sqrt(np.clip(eigenvalues_F, 0.0, None))) @ vectors_FF.T
    return root_FF
