"""How benchmarks tell what they found: aligned Markdown, and for each goal whether it is met."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """A figure and the bound that it must keep."""

    what: str
    measured: float
    bound: float
    unit: str = ""
    at_least: bool = False
    """Whether more is better; else the bound is the most."""

    @property
    def is_met(self) -> bool:
        """Whether the figure keeps its bound."""
        if self.at_least:
            return self.measured >= self.bound
        return self.measured <= self.bound

    def row(self) -> tuple[str, str, str, str]:
        """Return its row of the table of goals."""
        side = "at least" if self.at_least else "at most"
        bound, measured = (_with_unit(value, self.unit) for value in (self.bound, self.measured))
        return self.what, f"{side} {bound}", measured, "yes" if self.is_met else "**no**"


def show_goals(*goals: Goal) -> None:
    """Print the goals and whether they are met."""
    print()
    show_table(("goal", "bound", "measured", "met"), [goal.row() for goal in goals], texts=2)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> None:
    """Print a Markdown table; the first `texts` columns stand left, the others, numbers, right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if i < texts else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if i < texts else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    print("\n".join([line(head), line(rule), *map(line, rows)]))


def _with_unit(value: float, unit: str) -> str:
    if unit == "%":
        return f"{value:.0%}" if abs(value) >= 0.1 or value == int(value) else f"{value:.1%}"
    text = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{text} {unit}".strip()
