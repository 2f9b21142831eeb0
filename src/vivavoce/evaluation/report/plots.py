"""The pictures of the report: score histograms, error trade-offs, training curves, echoes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator
from numpy.typing import NDArray
from scipy.stats import norm

from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.rates import det_curve
from vivavoce.evaluation.report.figure import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    STYLE,
    VERMILION,
    WIDTH_IN,
    Picture,
    inline_svg,
)
from vivavoce.evaluation.report.results import TRUTHS, percent

Floats = NDArray[np.float64]

ATTACK_COLOURS = (VERMILION, GREEN, ORANGE, PURPLE, SKY)
LINE_STYLES = ("-", "--", "-.", ":")
_RATE_TICKS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4)
_DET_LIMITS = (0.0007, 0.6)
_DET_POINTS = 400  # a curve of more points is not drawn finer, only larger
# Lips reach 54 Hz at most on a 20 kHz tone, 19 Hz in 99 of 100 moments (DESIGN §5).
SHOWN_DOPPLER_HZ = 60.0


@dataclass(frozen=True)
class EchoView:
    """What the two bands of one recording hold.

    ``doppler_db`` is ``(frequencies, frames)`` in dB over ``doppler_hz`` and ``times_s``; ``voice_db`` is either a
    spectrogram ``(bins, frames)`` in dB over ``voice_hz``, or an envelope ``(frames,)`` with ``voice_hz`` None.
    """

    title: str
    times_s: Floats
    doppler_hz: Floats
    doppler_db: Floats
    voice_times_s: Floats
    voice_db: Floats
    voice_hz: Floats | None = None


def histogram_picture(
    name: str, title: str, genuine: tuple[str, Floats], others: Mapping[str, Floats], threshold: float | None
) -> Picture:
    """Draw a strip for each kind of ``others``: its scores beside the genuine ones, with the threshold.

    Args:
        name: of the picture, unique in a page.
        title: of the picture.
        genuine: label and scores ``(n,)`` of what should be accepted.
        others: label to scores ``(n,)`` of what should be rejected; at least one.
        threshold: accepted from here upward; None: not known.
    """
    pooled = np.concatenate([genuine[1], *others.values(), [] if threshold is None else [threshold]])
    low, high = np.quantile(pooled, [0.0005, 0.9995])
    low, high = (
        min(low, pooled.min() if threshold is None else threshold),
        max(high, -np.inf if threshold is None else threshold),
    )
    margin = 0.03 * (high - low) or 0.5
    edges = np.linspace(low - margin, high + margin, 49)
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(WIDTH_IN, 0.8 + (3.3 if len(others) == 1 else 1.05 * len(others))), layout="constrained"
        )
        axes = figure.subplots(len(others), 1, sharex=True, squeeze=False)[:, 0]
        for number, (axis, (label, scores)) in enumerate(zip(axes, others.items(), strict=True)):
            colour = ATTACK_COLOURS[number % len(ATTACK_COLOURS)]
            for text, values, hue, style in (
                (genuine[0], genuine[1], BLUE, "-"),
                (label, scores, colour, "--"),
            ):
                share = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / max(len(values), 1)
                axis.stairs(share, edges, fill=True, color=hue, alpha=0.28, linewidth=0)
                axis.stairs(share, edges, color=hue, linestyle=style, label=_shown(text), linewidth=1.4)
            if threshold is not None:
                axis.axvline(
                    threshold, color=INK, linewidth=1.2, linestyle=":", label="threshold" if number == 0 else None
                )
            axis.set(yticks=[], ylim=(0, None))
            axis.spines["left"].set_visible(False)
            _legend_above(axis, 3 if number == 0 else 2)
        axes[-1].set_xlabel("score (higher: accepted)")
        svg = inline_svg(figure, name)
    return Picture(
        name, title, "Share of recordings at each score; right of the dotted threshold they are accepted.", svg
    )


def det_picture(name: str, title: str, curves: Mapping[str, tuple[Floats, Floats]]) -> Picture:
    """Draw detection error trade-offs on normal-deviate axes (Martin et al., Eurospeech 1997).

    Args:
        name: of the picture, unique in a page.
        title: of the picture.
        curves: label to (genuine scores ``(n,)``, other scores ``(m,)``); at least one.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 4.3 + 0.24 * len(curves)), layout="constrained")
        axis = figure.subplots()
        low, high = norm.ppf(_DET_LIMITS)
        axis.plot([low, high], [low, high], color=INK, alpha=0.25, linewidth=0.8)
        for number, (label, (genuine, others)) in enumerate(curves.items()):
            colour = (BLUE, *ATTACK_COLOURS)[number % (1 + len(ATTACK_COLOURS))]
            p_miss, p_fa, _ = det_curve(genuine, others)
            keep = np.unique(np.linspace(0, p_miss.size - 1, _DET_POINTS).round().astype(int))
            x, y = (np.clip(norm.ppf(rate[keep]), low - 1, high + 1) for rate in (p_fa, p_miss))
            rate = eer(genuine, others).rate
            text = f"{label}, EER {percent(rate)}"
            axis.plot(x, y, color=colour, linestyle=LINE_STYLES[number % len(LINE_STYLES)], label=_shown(text))
            point = np.clip(norm.ppf(rate), low, high)
            axis.plot(point, point, "o", color=colour, markersize=5, clip_on=False)
        axis.set(xlim=(low, high), ylim=(low, high), aspect="equal")
        axis.set(xlabel="false accepts, %", ylabel="false rejects, %")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_locator(FixedLocator(norm.ppf(_RATE_TICKS).tolist()))
            side.set_major_formatter(FixedFormatter([f"{100 * rate:g}" for rate in _RATE_TICKS]))
            side.set_minor_locator(NullLocator())
        axis.grid(True)
        figure.legend(loc="outside upper left", ncols=1)
        svg = inline_svg(figure, name)
    caption = "Each curve trades false accepts for false rejects; lower left is better. Dots mark equal error rates."
    return Picture(name, title, caption, svg)


def training_pictures(metrics: Sequence[Mapping[str, object]]) -> list[Picture]:
    """Draw losses, then error rates and the learning rate, by epoch, training beside validation.

    Args:
        metrics: lines of ``metrics.jsonl``: ``epoch``, ``split`` (``train`` or ``validation``), ``loss``, any
            ``loss_*`` and ``*eer*``, and ``lr``. Other keys are left out.

    Returns:
        Up to two pictures; none where no line has an epoch and one of these.
    """
    lines = [line for line in metrics if _is_number(line.get("epoch"))]
    # Those of single kinds of attack have a slash in their names; there may be a dozen of them.
    keys = {key for line in lines for key, value in line.items() if _is_number(value) and "/" not in key}
    losses = [key for key in ("loss", *sorted(key for key in keys if key.startswith("loss_"))) if key in keys]
    others = [key for key in (*sorted(key for key in keys if "eer" in key), "lr") if key in keys]
    warning = "A validation loss that rises while that of training falls: the model learns its speakers by heart."
    pictures = []
    if losses:
        pictures.append(Picture("losses", "Losses", warning, _draw_epochs(lines, losses, "losses")))
    if others:
        title = "Learning rate" if others == ["lr"] else "Error rates and learning rate"
        pictures.append(Picture("schedule", title, "By epoch of training.", _draw_epochs(lines, others, "schedule")))
    return pictures


def _draw_epochs(lines: Sequence[Mapping[str, object]], keys: Sequence[str], name: str) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 0.9 + 1.35 * max(len(keys), 2)), layout="constrained")
        axes = figure.subplots(len(keys), 1, sharex=True, squeeze=False)[:, 0]
        handles: dict[str, Artist] = {}
        for axis, key in zip(axes, keys, strict=True):
            for split, colour, style in (("train", BLUE, "-"), ("validation", VERMILION, "--")):
                points = sorted(
                    (float(line["epoch"]), float(line[key]))  # pyright: ignore[reportArgumentType]
                    for line in lines
                    if str(line.get("split", "train")) == split and _is_number(line.get(key))
                )
                if not points or (key == "lr" and split == "validation"):
                    continue
                x, y = np.array(points).T
                # Single epochs would vanish without a mark; hundreds of marks would hide the line.
                mark = "o" if len(points) < 40 else None
                handles[split] = axis.plot(x, y, color=colour, linestyle=style, marker=mark, markersize=3)[0]
            axis.set_ylabel({"lr": "learning rate"}.get(key, key.replace("loss_", "loss, ").replace("_", " ")))
            axis.grid(True)
        figure.legend(list(handles.values()), list(handles), loc="outside upper left", ncols=2)
        figure.align_ylabels()
        axes[-1].set_xlabel("epoch")
        axes[-1].xaxis.get_major_locator().set_params(integer=True)
        return inline_svg(figure, name)


def echo_pictures(live: EchoView, replayed: EchoView) -> tuple[Picture, Picture]:
    """Draw a live and a replayed recording with the same colours for the same levels.

    Above, the voice band; below, the signed Doppler spectrogram of the ultrasound band, on one time axis.
    """
    doppler = _limits(live.doppler_db, replayed.doppler_db)
    voice = _limits(live.voice_db, replayed.voice_db)
    captions = (
        "Lips and jaw move while the words sound: the echo changes its frequency with them.",
        "The words sound, but the echo has no mouth in it, or one that moves with other words.",
    )
    first, second = (
        Picture(name, view.title, caption, _draw_echo(view, name, doppler, voice))
        for name, view, caption in zip(("echo-live", "echo-replayed"), (live, replayed), captions, strict=True)
    )
    return first, second


def _draw_echo(view: EchoView, name: str, doppler: tuple[float, float], voice: tuple[float, float]) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 4.4), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.7])
        if view.voice_hz is None:
            top.plot(view.voice_times_s, view.voice_db, color=BLUE, linewidth=1.2)
            top.set(ylim=voice, ylabel="voice, dB")
        else:
            _image(top, view.voice_times_s, view.voice_hz / 1000, view.voice_db, voice)
            top.set_ylabel("voice, kHz")
        image = _image(bottom, view.times_s, view.doppler_hz, view.doppler_db, doppler)
        bottom.set(xlabel="time, s", ylabel="Doppler, Hz", ylim=(-SHOWN_DOPPLER_HZ, SHOWN_DOPPLER_HZ))
        bar = figure.colorbar(image, ax=[top, bottom], shrink=0.62, anchor=(0, 0), pad=0.02, aspect=26)
        bar.set_label("echo, dB")
        bar.outline.set_linewidth(0.4)  # pyright: ignore[reportCallIssue]
        return inline_svg(figure, name)


def _image(axis: Axes, times: Floats, freqs: Floats, level: Floats, limits: tuple[float, float]):
    half_t = (times[-1] - times[0]) / max(len(times) - 1, 1) / 2
    half_f = (freqs[-1] - freqs[0]) / max(len(freqs) - 1, 1) / 2
    extent = (times[0] - half_t, times[-1] + half_t, freqs[0] - half_f, freqs[-1] + half_f)
    return axis.imshow(
        level,
        origin="lower",
        aspect="auto",
        extent=extent,
        cmap="cividis",
        vmin=limits[0],
        vmax=limits[1],
        interpolation="none",
    )


def _limits(*levels: Floats) -> tuple[float, float]:
    """Give colour limits that single extreme cells do not stretch."""
    pooled = np.concatenate([np.ravel(level) for level in levels])
    low, high = np.nanquantile(pooled, [0.05, 0.998])
    return float(low), float(high if high > low else low + 1)


def _legend_above(axis: Axes, columns: int) -> None:
    axis.legend(loc="lower left", bbox_to_anchor=(0, 0.98), ncols=columns, borderaxespad=0, handlelength=1.6)


def species_labels(kinds: Sequence[str]) -> dict[str, str]:
    """Give each kind its words for a figure."""
    return {kind: TRUTHS.get(kind, kind) for kind in kinds}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def _shown(label: str) -> str:
    """Keep a label that begins with an underscore, which matplotlib would leave out of the legend."""
    return f" {label}" if label.startswith("_") else label
