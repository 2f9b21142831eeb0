"""Pictures of both bands of a recording: the voice above, what the ultrasound echo says below."""

from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vivavoce.evaluation.report.figure import BLUE, STYLE, WIDTH_IN, Picture, inline_svg

Floats = NDArray[np.float64]

# Lips reach 54 Hz at most on a 20 kHz tone, 19 Hz in 99 of 100 moments (DESIGN §5).
SHOWN_DOPPLER_HZ = 60.0
# Noise alone, whose cells differ by a few dB, must not be drawn as bright as an echo.
LEAST_SPAN_DB = 25.0


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


def error_picture(view: EchoView) -> str:
    """Draw one recording small, in the colours of its own levels, as an SVG; the page makes its ids its own."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 2.9), layout="constrained")
        _draw_bands(figure, view, _limits(view.doppler_db, span=LEAST_SPAN_DB), _limits(view.voice_db))
        figure.align_ylabels()
        return inline_svg(figure, "error")


def _draw_echo(view: EchoView, name: str, doppler: tuple[float, float], voice: tuple[float, float]) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH_IN, 4.4), layout="constrained")
        axes, image = _draw_bands(figure, view, doppler, voice)
        bar = figure.colorbar(image, ax=axes, shrink=0.62, anchor=(0, 0), pad=0.02, aspect=26)
        bar.set_label("echo, dB")
        bar.outline.set_linewidth(0.4)  # pyright: ignore[reportCallIssue]
        return inline_svg(figure, name)


def _draw_bands(figure: Figure, view: EchoView, doppler: tuple[float, float], voice: tuple[float, float]):
    """Draw the voice above and the Doppler below; give both axes, and the image of the Doppler."""
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.7])
    if view.voice_hz is None:
        top.plot(view.voice_times_s, view.voice_db, color=BLUE, linewidth=1.2)
        top.set(ylim=voice, ylabel="voice, dB")
    else:
        _image(top, view.voice_times_s, view.voice_hz / 1000, view.voice_db, voice)
        top.set_ylabel("voice, kHz")
    image = _image(bottom, view.times_s, view.doppler_hz, view.doppler_db, doppler)
    bottom.set(xlabel="time, s", ylabel="Doppler, Hz", ylim=(-SHOWN_DOPPLER_HZ, SHOWN_DOPPLER_HZ))
    return [top, bottom], image


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


def _limits(*levels: Floats, span: float = 1.0) -> tuple[float, float]:
    """Give limits of colours, at least ``span`` dB apart, that single extreme cells do not stretch."""
    pooled = np.concatenate([np.ravel(level) for level in levels])
    low, high = np.nanquantile(pooled, [0.05, 0.998])
    return float(low), float(max(high, low + span))
