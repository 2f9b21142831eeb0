"""How every figure of the report looks: one style, and SVG that takes its text colour and font from the page."""

import io
import re
import warnings
from dataclasses import dataclass
from typing import Any

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe & Ito, "Color universal design", 2008: told apart under all common kinds of colour blindness.
BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9"
# Stands for the page's text colour while matplotlib draws; no palette colour may equal it.
INK = "#010203"
# 5 inches are 360 points: on a phone one point is then about one CSS pixel, so text stays legible.
WIDTH_IN = 5.0
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "vivavoce",
    "text.parse_math": False,
    "font.size": 12,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "lines.linewidth": 1.8,
    "grid.color": INK,
    "grid.alpha": 0.12,
}


@dataclass(frozen=True)
class Picture:
    """One figure: an SVG element, its title, and a sentence that says how to read it."""

    name: str
    title: str
    caption: str
    svg: str


def inline_svg(figure: Figure, name: str) -> str:
    """Render to an ``<svg>`` element that scales with the page and shares no id with its neighbours."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The browser draws the letters; matplotlib only estimates the width of those its own font lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        FigureCanvasSVG(figure).print_svg(
            buffer, metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in used else "", text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r'xlink:href="#', f'xlink:href="#{name}-', text)
    # The page gives the font; a style sheet inside an inline SVG would reach the whole page.
    text = re.sub(r"font-family: [^;\"]*;? ?", "", re.sub(r"<style.*?</style>", "", text, flags=re.DOTALL))
    return text.replace(INK, "currentColor").replace('style="fill: #ffffff"', 'style="fill: none"').strip()
