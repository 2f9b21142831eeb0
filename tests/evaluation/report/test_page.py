import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vivavoce.errors import UserError
from vivavoce.evaluation.report.page import (
    bounds,
    draw_pictures,
    headline,
    of_hundred,
    render_report,
    right_verdict,
    write_report,
)
from vivavoce.evaluation.report.plots import EchoView
from vivavoce.evaluation.report.results import Demonstration, Estimate, EvaluationResult, VerdictRow, percent

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Checker(HTMLParser):
    """Collects what a browser would read, and refuses tags that do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
                self.links.append(value or "")
            assert not name.startswith("on"), f"a script in {tag}"
            if name == "id":
                self.ids.append(value or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a start"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    assert not {"script", "iframe", "link", "object", "embed"} & set(checker.seen)
    assert all(link.startswith(("#", "data:image/")) for link in checker.links)
    assert not re.search(r"@import|url\((?!#)", page)
    assert len(checker.ids) == len(set(checker.ids))
    return checker


@pytest.fixture(scope="module")
def page(result: EvaluationResult, metrics: list[dict[str, object]], views: tuple[EchoView, EchoView]) -> str:
    return render_report(result, draw_pictures(result, metrics, *views))


def test_one_whole_file_that_fetches_nothing(page: str) -> None:
    checker = _check(page)
    assert checker.seen.count("svg") == 8
    assert "viewport" in page
    assert page.count("prefers-color-scheme: dark") == 1


def test_every_figure_of_the_result_is_there(page: str, result: EvaluationResult) -> None:
    text = " ".join("".join(_check(page).words).split())

    def shown(estimate: Estimate | None) -> None:
        assert estimate is not None
        assert f"{percent(estimate.value)} ({bounds(estimate)})" in text

    speaker = result.speaker
    assert speaker is not None
    assert result.liveness_pooled is not None
    for estimate in (speaker.eer, speaker.miss, speaker.false_alarm):
        shown(estimate)
    assert f"{speaker.min_dcf.value:.3f}" in text
    assert f"p(target) = {speaker.min_dcf.p_target}" in text
    assert f"{speaker.n_target} target" in text
    for row in [*result.liveness, result.liveness_pooled, *result.conditions]:
        for estimate in (row.eer, row.apcer, row.bpcer):
            shown(estimate)
        assert f"{row.live_abstained} / {row.spoof_abstained}" in text
    cells = " ".join(re.findall(r"[\d.]+ %|\d+", text))
    for row in result.verdicts:
        for verdict, count in row.counts.items():
            assert f"{percent(row.share(verdict))} {count}" in cells
    for shot in result.demonstrations:
        assert shot.file in text
        assert shot.reason in text
    for value in [
        *result.versions.values(),
        *result.hashes.values(),
        *(f"{s:.1f} s" for s in result.timings_s.values()),
    ]:
        assert value in text
    for words in (result.command, result.run_id, result.date, result.data_name, "Simulated recordings", "lr: 0.001"):
        assert words in text


def test_verdicts_come_first(page: str) -> None:
    assert page.index("User accepted") < page.index("Shown to the finished system") < page.index("<h2>Verdicts")
    assert (
        page.index("<h2>Figures") < page.index("<h2>How it was measured") < page.index("<h2>To get this report again")
    )


def test_a_wrong_demonstration_is_marked(page: str) -> None:
    assert page.count('class="chip wrong"') == 1
    assert "expected not the speaker" in page


def test_hostile_names_stay_text(result: EvaluationResult) -> None:
    attack = '<script>alert("1")</script>\'"><img src=x onerror=alert(1)>'
    hostile = result.model_copy(
        update={
            "run_id": attack,
            "date": attack,
            "command": attack,
            "data_name": attack,
            "config": {attack: attack},
            "versions": {attack: attack},
            "hashes": {attack: attack},
            "timings_s": {attack: 1.0},
            "notes": [attack],
            "demonstrations": [
                Demonstration(file=attack, truth="target", verdict=attack, expected=attack, reason=attack)
            ],
        }
    )
    page = render_report(hostile)
    checker = _check(page)
    assert "img" not in checker.seen
    assert page.count(html.escape("<script>").replace("'", "&#39;")) >= 10


def test_voices_alone_make_a_report(build_result: Callable[..., EvaluationResult]) -> None:
    result = build_result(species=())
    page = render_report(result, draw_pictures(result))
    checker = _check(page)
    assert "Not measured" in page
    assert checker.seen.count("svg") == 2
    assert [card.label for card in headline(result)][-1] == "Speaker EER"


def test_one_species_makes_a_report(build_result: Callable[..., EvaluationResult]) -> None:
    result = build_result(species=("swapped_mouth",))
    page = render_report(result, draw_pictures(result))
    _check(page)
    assert "Hardest" not in page
    assert "all attacks" in page  # within the conditions


def test_nothing_but_a_name_makes_a_report() -> None:
    result = EvaluationResult(
        run_id="r", date="2026-01-01", command="vivavoce evaluate r", data_name="m", simulated=False, data=[]
    )
    page = render_report(result)
    _check(page)
    assert "Simulated" not in page
    assert headline(result) == []


def test_one_picture_is_not_drawn_alone(result: EvaluationResult, views: tuple[EchoView, EchoView]) -> None:
    names = [picture.name for picture in draw_pictures(result, live=views[0])]
    assert names == ["speaker-scores", "speaker-det", "liveness-scores", "liveness-det"]


def test_headline_sentences_by_hand(result: EvaluationResult) -> None:
    rows = [
        VerdictRow(truth="target", counts={"accept": 93, "not_live": 4, "abstain": 3, "not_the_speaker": 0}),
        VerdictRow(truth="nontarget", counts={"accept": 0, "not_the_speaker": 50}),
        VerdictRow(truth="replay_stand", counts={"accept": 1, "not_live": 399}),
        VerdictRow(truth="probe_absent", counts={"abstain": 10}),
    ]
    cards = headline(result.model_copy(update={"verdicts": rows}))
    assert [(card.figure, card.detail) for card in cards[:3]] == [
        ("93.0 %", "93 of 100"), ("0 %", "0 of 50"), ("0.25 %", "1 of 400"),
    ]  # fmt: skip
    assert cards[0].sentence == "Of 100 recordings by the user, 93 are accepted and 3 get no answer."
    assert "none are accepted" in cards[1].sentence
    assert "fewer than 1 are accepted" in cards[2].sentence


def test_rounding_never_claims_none_or_all() -> None:
    assert [percent(share) for share in (0, 0.0004, 0.0123, 0.5, 0.999999, 1)] == [
        "0 %", "0.04 %", "1.2 %", "50.0 %", "99.99 %", "100 %",
    ]  # fmt: skip
    assert [of_hundred(share) for share in (0, 0.001, 0.5, 0.999, 1)] == [
        "none", "fewer than 1", "50", "more than 99", "all",
    ]  # fmt: skip


def test_right_verdicts() -> None:
    found = {truth: right_verdict(truth) for truth in ("target", "nontarget", "shifted", "probe_jammed")}
    assert found == {
        "target": "accept", "nontarget": "not_the_speaker", "shifted": "not_live", "probe_jammed": "abstain",
    }  # fmt: skip


def test_writing_is_whole_or_not_at_all(result: EvaluationResult, tmp_path: Path) -> None:
    write_report(result, tmp_path / "deep" / "report.html")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["report.html"]
    _check((tmp_path / "deep" / "report.html").read_text(encoding="utf-8"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(result, tmp_path / "file" / "report.html")
