"""What the launcher has to know of a system: its settings and recipes, how it is judged, and what there is to see.

One file in launch/systems is one system; launch/catalogue.py lists them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from rlgan.launch.pictures import Picture
from rlgan.launch.run_config import RunConfig


@dataclass(frozen=True)
class Shown:
    """What there is to see of a round or an evaluation.

    Example:
        `Shown(texts={"samples/reward_per_token": "| a | b | ..."}, images={"samples/grid": array_of_uint8_HWC})`

    Attributes:
        texts: Markdown by TensorBoard tag; generated text in it is escaped already.
        images: [H, W, 3] uint8 by TensorBoard tag.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, Picture] = field(default_factory=dict)


@dataclass(frozen=True)
class Judgement:
    """What an evaluation found.

    Example:
        `Judgement(figures={"gen/entropy": 6.1}, samples=["a line", "another line"])`

    Attributes:
        figures: values by TensorBoard tag.
        samples: generated texts as they are, drawn without choosing; none where the system makes no text.
        shown: what else there is to see; the image "samples/grid" goes into the report too.
    """

    figures: dict[str, float]
    samples: Sequence[str] = ()
    shown: Shown = Shown()


class System(ABC):
    """One system, as the launcher sees it.

    Attributes:
        name: the word after `rlgan train`.
        description: first lines of the help.
        run_class: the settings of a run.
        recipes: settings to start from, by name; "quick" is the default.
        next_command: what to try with a finished run, whose directory stands for {run}.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    run_class: ClassVar[type[RunConfig]]
    recipes: ClassVar[Mapping[str, Callable[[], RunConfig]]]
    next_command: ClassVar[str] = "rlgan sample {run} -n 10"

    def check_before_data(self, run: RunConfig, smallest: int) -> bool:
        """Refuse what can be refused without reading the data, where the data is made and not read.

        Args:
            run: the settings.
            smallest: how many training examples are needed at least.

        Returns:
            Whether that was all there is to check: the data may then be made while Ray starts.
        """
        del run, smallest
        return False

    @abstractmethod
    def judge(self, algorithm: Any, run: RunConfig, seed: int) -> Judgement:
        """Measure what has been trained, as the runners have it.

        Args:
            algorithm: after a round.
            run: the settings.
            seed: of the draws.

        Returns:
            Figures, samples and pictures.
        """

    def show(self, report: Any, source: Any) -> Shown:
        """What there is to see of a round; asked every few rounds.

        Args:
            report: of the round.
            source: what the run learns from.

        Returns:
            Texts and pictures; none by default.
        """
        del report, source
        return Shown()

    def conclude(self, algorithm: Any, run: RunConfig, path: Path) -> None:  # noqa: B027 - an option, not a duty
        """What is measured once, after the last round and before the report; nothing by default.

        Args:
            algorithm: after the last round.
            run: the settings.
            path: the run directory, where the findings go.
        """

    def keep(self, phase: str, algorithm: Any) -> Mapping[str, dict[str, Tensor]]:
        """Weights that stay in the run directory when a phase has ended.

        Args:
            phase: its name.
            algorithm: after its last round.

        Returns:
            Tensors by the name of a file without its ending; nothing by default.
        """
        del phase, algorithm
        return {}
