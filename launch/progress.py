"""What a run shows while it works: a live display on a terminal, plain lines elsewhere."""

import time
from collections import deque
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rlgan.policies.rounds import RoundReport

PLAIN_SECONDS = 10.0
_REFRESHES_PER_SECOND = 4
_MAX_SAMPLES = 5
_SMOOTHED_ROUNDS = 20
_SHOWN = {
    "gen/loss": "generator loss",
    "gen/reward_mean": "reward",
    "gen/entropy": "entropy",
    "disc/acc_real": "D right on real",
    "disc/acc_fake": "D right on fake",
    "rollout/tokens_per_s": "rollout tokens/s",
    "gen/nll_oracle": "NLL oracle",
    "gen/nll_test": "NLL held out",
    "eval/self_bleu_3": "Self-BLEU-3",
    "eval/bleu_3": "BLEU-3",
    "eval/masked_perplexity": "masked perplexity",
    "eval/grammatical": "grammatical",
    "eval/true_log_likelihood": "true log-likelihood",
    "eval/bgan_ess": "ESS",
    "eval/began_M": "M",
    "eval/began_ratio": "L(G)/L(x)",
    "eval/fid": "Frechet distance",
    "eval/diversity": "diversity",
    "eval/collapse_alarm": "collapse alarm",
}


class Progress:
    """Shows rounds as they are done.

    Example:
        `with Progress(total_steps=270) as progress: progress.round(algorithm.report)`

    Attributes:
        console: where it shows.
    """

    def __init__(self, total_steps: int, console: Console | None = None) -> None:
        self.console = console or Console()
        self._total_steps = total_steps
        self._live: Live | None = None
        self._report: RoundReport | None = None
        self._round_figures: dict[str, float] = {}
        self._evaluation_figures: dict[str, float] = {}
        self._samples: list[str] = []
        self._round_seconds: deque[float] = deque(maxlen=_SMOOTHED_ROUNDS)
        self._last_time: float | None = None
        self._next_line = 0.0
        self._printed_step = -1

    def __enter__(self) -> "Progress":
        if self.console.is_terminal:
            self._live = Live(console=self.console, auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.update(self._display(), refresh=True)
            self._live.stop()
            self._live = None
        elif self._report is not None and self._report.step != self._printed_step:
            self._print(self._line())

    def round(self, report: "RoundReport") -> None:
        """Show what a round did.

        Args:
            report: of the algorithm, as it is after the round.
        """
        now = time.monotonic()
        is_new_phase = self._report is None or self._report.phase != report.phase
        if is_new_phase:
            self._round_seconds.clear()
            self._round_figures.clear()
        elapsed = report.seconds if is_new_phase or self._last_time is None else now - self._last_time
        self._round_seconds.append(elapsed)
        self._last_time = now
        self._report = report
        self._round_figures |= report.figures
        if self._live is not None:
            self._refresh()
        elif is_new_phase or now >= self._next_line or report.step == self._total_steps:
            self._next_line, self._printed_step = now + PLAIN_SECONDS, report.step
            self._print(self._line())

    def evaluation(self, step: int, figures: Mapping[str, float], samples: Sequence[str]) -> None:
        """Show what an evaluation found.

        Args:
            step: rounds done.
            figures: values by TensorBoard tag.
            samples: generated texts.
        """
        self._evaluation_figures |= figures
        self._samples = [" ".join(sample.split()) for sample in samples[:_MAX_SAMPLES]]
        if self._live is not None:
            self._refresh(now=True)
            return
        shown = "  ".join(f"{_SHOWN[tag]} {_number(value)}" for tag, value in figures.items() if tag in _SHOWN)
        self._print(f"step {step}/{self._total_steps}  evaluation  {shown}")
        for sample in self._samples[:2]:
            self._print(f"  sample: {_printable(sample)[:160]}")

    def message(self, text: str) -> None:
        """Show a line that stays.

        Args:
            text: plain text; nothing in it is taken as markup.
        """
        self._print(text)

    def _print(self, text: str) -> None:
        """One plain line, above the live display where there is one."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _refresh(self, now: bool = False) -> None:
        """Draw again, a few times a second at most."""
        assert self._live is not None
        moment = time.monotonic()
        if now or moment >= self._next_line:
            self._next_line = moment + 1 / _REFRESHES_PER_SECOND
            self._live.update(self._display(), refresh=True)

    def _remaining(self) -> str:
        """How long the phase, or the run when it is the last, will take at the present rate."""
        report = self._report
        if report is None or not self._round_seconds:
            return ""
        rounds_left = report.phase_rounds - report.phase_round
        rate = sum(self._round_seconds) / len(self._round_seconds)
        what = "left" if report.step + rounds_left >= self._total_steps else f"left in {report.phase}"
        return f"{_duration(rounds_left * rate)} {what}" if rounds_left > 0 else f"end of {report.phase}"

    def _rate(self) -> str:
        """Seconds a round takes."""
        rate = sum(self._round_seconds) / max(1, len(self._round_seconds))
        return f"{_number(rate)} s/round" if rate >= 0.1 else f"{1 / rate:.0f} rounds/s" if rate > 0 else ""

    def _place(self) -> str:
        """Phase and round."""
        report = self._report
        return "starting" if report is None else f"{report.phase} {report.phase_round}/{report.phase_rounds}"

    def _line(self) -> str:
        """The state as one plain line; only figures of the last round."""
        assert self._report is not None
        figures = self._report.figures
        shown = [f"{name} {_number(figures[tag])}" for tag, name in _SHOWN.items() if tag in figures]
        parts = [
            f"step {self._report.step}/{self._total_steps}",
            self._place(),
            *shown,
            self._rate(),
            self._remaining(),
        ]
        return "  ".join(part for part in parts if part)

    def _display(self) -> RenderableType:
        """The live display."""
        step = 0 if self._report is None else self._report.step
        head = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=max(1, self._total_steps), completed=min(step, self._total_steps), width=30)
        head.add_row(
            Text(self._place(), style="bold"), bar, f"{step}/{self._total_steps}", self._rate(), self._remaining()
        )
        figures = Table.grid(padding=(0, 2))
        known = self._evaluation_figures | self._round_figures
        cells = [(name, known[tag]) for tag, name in _SHOWN.items() if tag in known]
        for start in range(0, len(cells), 3):
            row = [Text.assemble((f"{name} ", "dim"), _number(value)) for name, value in cells[start : start + 3]]
            figures.add_row(*row)
        samples = [
            Text(f"  {_printable(sample)}", style="italic", no_wrap=True, overflow="ellipsis")
            for sample in self._samples
        ]
        heading = [Text("samples", style="dim")] if samples else []
        return Group(head, figures, *heading, *samples)


def _number(value: float) -> str:
    """Three or four digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _printable(text: str) -> str:
    """Generated text without control characters, which could move the cursor or colour the terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
