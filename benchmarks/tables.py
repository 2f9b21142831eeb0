"""What the tables of docs/benchmarks.md are made of."""

from typing import Any

LINE = "\n"
Result = dict[str, Any]


def power(value: float) -> str:
    """A small number as a power of ten."""
    return f"{value:.1e}".replace("e-0", "e-")


def percent(share: float) -> str:
    """A share in percent."""
    return f"{100 * share:.1f} %"


def answered(reached: bool | None) -> str:
    """Whether a target was reached; None where there is none."""
    return {None: "–", True: "yes", False: "**no**"}[reached]


def most(value: float, asked: float, unit: str) -> list[str]:
    """A target that a figure must not exceed, and whether it does not."""
    return [f"≤ {asked:g} {unit}", answered(value <= asked)]


def least(value: float, asked: float, unit: str) -> list[str]:
    """A target that a figure must not stay below, and whether it does not."""
    return [f"≥ {asked:g} {unit}", answered(value >= asked)]


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
