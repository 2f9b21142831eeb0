import base64
import io
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from vivavoce.evaluation.report.echoes import EchoView, echo_pictures, error_picture
from vivavoce.evaluation.report.figure import Picture
from vivavoce.evaluation.report.learning import training_pictures
from vivavoce.evaluation.report.plots import det_picture, histogram_picture
from vivavoce.evaluation.report.reliability import reliability_picture
from vivavoce.evaluation.report.strips import axis_end, strip

from .complete import complete_result, rate

RNG = np.random.default_rng(0)
HIGH, LOW = RNG.normal(3, 1, 300), RNG.normal(0, 1, 400)


def _texts(picture: Picture) -> list[str]:
    root = ET.fromstring(picture.svg)
    return ["".join(element.itertext()).strip() for element in root.iter() if element.tag.endswith("}text")]


def _check(picture: Picture) -> None:
    """One SVG element that scales, fetches nothing, and whose references all resolve inside it."""
    root = ET.fromstring(picture.svg)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "viewBox" in root.attrib
    assert "width" not in root.attrib
    ids = set(re.findall(r' id="([^"]*)"', picture.svg))
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', picture.svg))
    assert used == ids
    assert all(name.startswith(picture.name) for name in ids)
    links = re.findall(r'(?:href|src)="([^"]{0,30})', picture.svg)
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "<style" not in picture.svg
    assert "#010203" not in picture.svg


def test_histogram_has_a_strip_a_kind_and_the_threshold() -> None:
    picture = histogram_picture("h", "T", ("live", HIGH), {"stand": LOW, "shifted": LOW + 1}, 1.5)
    _check(picture)
    texts = _texts(picture)
    assert texts.count("live") == 1
    assert {"stand", "shifted", "threshold", "score (higher: accepted)"} <= set(texts)


@pytest.mark.parametrize("threshold", [None, 50.0, -50.0])
def test_histogram_draws_single_and_equal_scores(threshold: float | None) -> None:
    picture = histogram_picture("h", "T", ("live", np.array([1.0])), {"x": np.array([1.0, 1.0])}, threshold)
    _check(picture)
    assert ("threshold" in _texts(picture)) == (threshold is not None)


def test_det_curve_names_the_equal_error_rate() -> None:
    picture = det_picture("d", "T", {"hard": (HIGH, LOW + 1), "perfect": (HIGH + 100, LOW)})
    _check(picture)
    labels = [text for text in _texts(picture) if "EER" in text]
    assert labels[1] == "perfect, EER 0 %"
    assert re.fullmatch(r"hard, EER 1\d\.\d %", labels[0])


def test_det_curves_of_all_species_look_different_and_the_worst_is_named_first() -> None:
    curves = {f"species {number}": (HIGH, LOW + 0.2 * number) for number in range(9)}
    picture = det_picture("d", "T", {"all": (HIGH, LOW + 1), **curves}, pooled="all")
    labels = [text.split(",")[0] for text in _texts(picture) if "EER" in text]
    assert labels[0] == "species 8"
    assert labels[-1] == "species 0"
    assert len(labels) == 10
    strokes = re.findall(r'style="fill: none; ([^"]*)"', picture.svg)
    looks = [stroke for stroke in strokes if re.search(r"stroke-width: (1\.6|2\.4)", stroke)]
    assert len(set(looks)) == 10


def test_a_det_curve_goes_through_its_equal_error_rate() -> None:
    few = det_picture("d", "T", {"x": (np.array([1.0, 2.0]), np.array([0.0, 1.5]))})
    assert "x, EER 50.0 %" in _texts(few)


def test_a_large_det_curve_stays_small() -> None:
    picture = det_picture("d", "T", {"x": (RNG.normal(1, 1, 50_000), RNG.normal(0, 1, 50_000))})
    assert len(picture.svg) < 60_000


def test_learning_curves_show_what_the_lines_hold(metrics: list[dict[str, object]]) -> None:
    losses, schedule = training_pictures(metrics)
    _check(losses)
    _check(schedule)
    assert {"loss", "loss, speaker", "loss, liveness", "train", "validation"} <= set(_texts(losses))
    assert "learning rate" in _texts(schedule)


def test_learning_curves_leave_out_what_is_missing() -> None:
    assert training_pictures([]) == []
    assert training_pictures([{"epoch": 1, "note": "x"}, {"loss": 1.0}]) == []
    lines: list[dict[str, object]] = [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": float("nan"), "speaker_eer": 0.1}]
    losses, rates = training_pictures(lines)
    assert "loss" in _texts(losses)
    assert "speaker eer" in _texts(rates)


def test_live_and_replayed_share_their_colours(views: tuple[EchoView, EchoView]) -> None:
    for picture, title in zip(echo_pictures(*views), ("Live", "Replayed on a stand"), strict=True):
        _check(picture)
        assert picture.title == title
    # The same cells must look the same in both: swap the views and compare the embedded images.
    live, replayed = (re.findall(r'"data:image/png[^"]*"', p.svg) for p in echo_pictures(*views))
    swapped = [re.findall(r'"data:image/png[^"]*"', p.svg) for p in echo_pictures(views[1], views[0])]
    assert [replayed, live] == swapped


def test_the_voice_may_be_an_envelope(views: tuple[EchoView, EchoView]) -> None:
    live, replayed = (
        EchoView(v.title, v.times_s, v.doppler_hz, v.doppler_db, v.voice_times_s, v.voice_db.mean(axis=0))
        for v in views
    )
    for picture in echo_pictures(live, replayed):
        _check(picture)
        assert "voice, dB" in _texts(picture)


@example("_")
@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12))
def test_any_label_is_drawn_as_it_is(label: str) -> None:
    picture = det_picture("d", "T", {label: (HIGH, LOW)})
    ET.fromstring(picture.svg)
    assert any(text.startswith(label.strip()) for text in _texts(picture))


def test_drawing_leaves_no_global_state() -> None:
    before = dict(mpl.rcParams)
    first = det_picture("d", "T", {"x": (HIGH, LOW)})
    assert dict(mpl.rcParams) == before
    assert det_picture("d", "T", {"x": (HIGH, LOW)}) == first


def test_the_picture_of_an_error_keeps_noise_dark(views: tuple[EchoView, EchoView]) -> None:
    svg = error_picture(views[1])
    _check(Picture("error", "", "", svg))
    image = re.findall(r'"data:image/png;base64,([^"]*)"', svg)[-1]
    still = imread(io.BytesIO(base64.b64decode(image)))[..., :3].mean()
    moving = re.findall(r'"data:image/png;base64,([^"]*)"', error_picture(views[0]))[-1]
    bright = imread(io.BytesIO(base64.b64decode(moving)))[..., :3].max()
    assert still < 0.45 < bright


def test_reliability_shows_each_bin_with_its_count() -> None:
    found = complete_result().reliability[0]
    picture = reliability_picture(found)
    _check(picture)
    assert {str(point.count) for point in found.bins} <= set(_texts(picture))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 400).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials))))
def test_a_strip_stays_on_its_axis(counts: tuple[int, int]) -> None:
    measure = rate("apcer", "APCER", *counts, "spoof")
    end = axis_end([measure, None])
    places = [float(place) for place in re.findall(r'x\d?="([\d.]+)%"', strip(measure, end))]
    assert all(0 <= place <= 100 for place in places)
    assert (measure.value is None) == ("circle" not in strip(measure, end))
    if measure.value is not None:
        assert measure.high is not None
        assert max(measure.value, measure.high) <= end
