"""One thing that `rlgan doctor` looked at."""

from dataclasses import dataclass

from rlgan.errors import RlganError


@dataclass(frozen=True)
class Finding:
    """What was found, and what would come of it.

    Example:
        `Finding("memory", "21.3 GB free: enough for 42 worker processes")`

    Attributes:
        name: what was looked at.
        text: what was found.
        problem: what a run would fail with; None if it would not.
        advice: what had better be otherwise, though a run goes on without it; None if nothing.
    """

    name: str
    text: str
    problem: RlganError | None = None
    advice: str | None = None

    def lines(self) -> str:
        """As the command shows it.

        Returns:
            A line, and another one where something is to do.
        """
        sign = "!!" if self.problem is not None else "??" if self.advice is not None else "ok"
        todo = str(self.problem or self.advice or "")
        return f"{sign}  {self.name:<9} {self.text}\n" + (f"{'':14}{todo}\n" if todo else "")
