"""Small drawings for the cells of tables: a rate as a dot on its interval."""

from collections.abc import Iterable

from markupsafe import Markup

from vivavoce.evaluation.measures import Measure

# An axis ends at a number that people read at once.
ENDS = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)


def strip(measure: Measure, end: float) -> Markup:
    """Draw a rate as a dot on its interval, from 0 to ``end``, as an SVG as wide as its cell, in the page's colours."""

    def place(share: float) -> str:
        return f"{100 * min(max(share, 0.0), end) / end:.1f}%"

    parts = [
        '<line class="axis" x1="0%" x2="100%" y1="6" y2="6"/>',
        '<line class="axis" x1="0%" x2="0%" y1="3" y2="9"/><line class="axis" x1="100%" x2="100%" y1="3" y2="9"/>',
    ]
    if measure.low is not None and measure.high is not None:
        parts.append(f'<line class="range" x1="{place(measure.low)}" x2="{place(measure.high)}" y1="6" y2="6"/>')
    if measure.value is not None:
        parts.append(f'<circle cx="{place(measure.value)}" cy="6" r="3.2"/>')
    return Markup(f'<svg class="strip" width="100%" height="12" aria-hidden="true">{"".join(parts)}</svg>')


def axis_end(measures: Iterable[Measure | None]) -> float:
    """Give the end of the shortest axis that holds every value and its interval; intervals alone are cut at it."""
    reach = [value for m in measures if m is not None and m.value is not None for value in (m.value, m.high or m.value)]
    most = max(reach, default=1.0)
    return next((end for end in ENDS if most <= end), 1.0)
