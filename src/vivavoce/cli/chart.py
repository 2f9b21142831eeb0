"""A curve in the terminal: columns of blocks where somebody watches, a few lines of figures where not."""

from collections.abc import Sequence
from itertools import pairwise

BLOCKS = " ▁▂▃▄▅▆▇█"
WIDEST = 72
HEIGHT = 9
LINES = 12


def curve(values: Sequence[float], width: int, height: int = HEIGHT) -> list[str]:
    """Draw values from 0 (or their least, where it is below) upward as columns, each the mean of its share of them."""
    width = max(1, min(width, WIDEST, len(values)))
    edges = [round(column * len(values) / width) for column in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low, high = min(0.0, *means), max(0.0, *means)
    eighths = [round((mean - low) / ((high - low) or 1.0) * height * 8) for mean in means]
    rows = []
    for row in reversed(range(height)):
        label = f"{high:9.3g} ┤" if row == height - 1 else f"{low:9.3g} ┤" if row == 0 else f"{'':9} │"
        rows.append(label + "".join(BLOCKS[max(0, min(8, count - 8 * row))] for count in eighths).rstrip())
    return rows


def samples(count: int, lines: int = LINES) -> list[int]:
    """Choose evenly spread indices below ``count``, the first and the last among them."""
    chosen = min(count, lines)
    return [0] if chosen < 2 else sorted({round(i * (count - 1) / (chosen - 1)) for i in range(chosen)})
