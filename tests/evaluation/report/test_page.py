import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from vivavoce.errors import UserError
from vivavoce.evaluation.report.breakdowns import HEADS
from vivavoce.evaluation.report.cards import headline
from vivavoce.evaluation.report.echoes import EchoView
from vivavoce.evaluation.report.page import audio_source, list_sections, render_report, right_verdict, write_report
from vivavoce.evaluation.report.pictures import draw_pictures
from vivavoce.evaluation.report.results import (
    Demonstration,
    Estimate,
    EvaluationResult,
    VerdictRow,
    WorstError,
    percent,
)
from vivavoce.evaluation.report.wording import (
    at_least,
    at_most,
    bounds,
    day,
    figure_text,
    interval_text,
    measure_text,
    name_parts,
    of_hundred,
    typeset,
)

from .complete import complete_result

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
        self.named_by: list[str] = []
        self.headers: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
                self.links.append(value or "")
            assert not name.startswith("on"), f"a script in {tag}"
            if name == "id":
                self.ids.append(value or "")
            if name == "aria-labelledby":
                self.named_by.append(value or "")
        if tag == "th":
            self.headers.append(dict(attrs))
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
    assert all(link.startswith(("#", "data:image/", "data:audio/")) for link in checker.links)
    assert not re.search(r"@import|url\((?!#)", page)
    assert len(checker.ids) == len(set(checker.ids))
    anchors = {link[1:] for link in checker.links if link.startswith("#")}
    assert anchors | set(checker.named_by) <= set(checker.ids)
    assert all(header.get("scope") for header in checker.headers)
    return checker


def _text(page: str) -> str:
    return " ".join("".join(_check(page).words).split())


@pytest.fixture(scope="module")
def complete() -> EvaluationResult:
    return complete_result()


@pytest.fixture(scope="module")
def full(complete: EvaluationResult, metrics: list[dict[str, object]], views: tuple[EchoView, EchoView]) -> str:
    return render_report(complete, draw_pictures(complete, metrics, *views))


@pytest.fixture(scope="module")
def page(result: EvaluationResult, metrics: list[dict[str, object]], views: tuple[EchoView, EchoView]) -> str:
    return render_report(result, draw_pictures(result, metrics, *views))


def test_one_whole_file_that_fetches_nothing(page: str) -> None:
    checker = _check(page)
    pictures = [name for name in checker.ids if name.endswith("-title")]
    assert checker.seen.count("figure") == 8
    assert len(pictures) == checker.seen.count("section")
    assert "viewport" in page
    assert page.count("prefers-color-scheme: dark") == 1
    assert "@media print" in page


def test_every_figure_of_the_result_is_there(page: str, result: EvaluationResult) -> None:
    text = _text(page)

    def shown(estimate: Estimate | None) -> None:
        assert estimate is not None
        assert f"{percent(estimate.value)} ({bounds(estimate)})" in text

    speaker = result.speaker
    assert speaker is not None
    assert result.liveness_pooled is not None
    for estimate in (speaker.eer, speaker.miss, speaker.false_alarm):
        shown(estimate)
    assert f"{speaker.min_dcf.value:.3f}" in text
    assert f"p_target={speaker.min_dcf.p_target:g}, c_miss=1, c_fa=1" in text
    assert f"{speaker.n_target} by the user" in text
    for row in [*result.liveness, result.liveness_pooled, *result.conditions]:
        for estimate in (row.eer, row.apcer, row.bpcer):
            shown(estimate)
    for row in result.liveness:
        assert f"{row.n_spoof} with an answer" in text
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
    for words in (
        result.command,
        result.run_id,
        day(result.date),
        result.data_name,
        "Simulated recordings",
        "lr: 0.001",
    ):
        assert words in text


def test_the_verdict_comes_first_and_the_sections_in_their_order(full: str, complete: EvaluationResult) -> None:
    order = ["verdict", "demonstrations", "verdicts", "system", "speaker", "liveness", "calibration", "breakdowns"]
    order += ["errors", "abstentions", "data", "model", "method", "again"]
    assert re.findall(r'<section id="([^"]*)"', full) == order
    assert full.index('id="verdict"') < full.index("Simulated recordings") < full.index('class="cards"')
    for section in list_sections(complete):
        assert full.count(f'href="#{section.id}"') == (3 if section.id == "method" else 2)  # both lists of contents


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
            "worst": [
                WorstError(
                    truth="target",
                    verdict=attack,
                    recording=attack,
                    enrolled=attack,
                    margin=1.0,
                    reason=attack,
                    conditions={attack: attack},
                )
            ],
            "data_card": {attack: {attack: attack}},
            "model_card": {attack: {attack: attack}},
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
    assert "Liveness was not measured" in page
    assert checker.seen.count("figure") == 2
    assert 'id="liveness"' not in page
    assert 'id="errors"' not in page
    assert [card.label for card in headline(result)][-1] == "Speaker EER"


def test_one_species_makes_a_report(build_result: Callable[..., EvaluationResult]) -> None:
    result = build_result(species=("swapped_mouth",))
    page = render_report(result, draw_pictures(result))
    _check(page)
    assert "Weakest point" not in page
    assert "all attacks" in page  # within the conditions


def test_nothing_but_a_name_makes_a_report() -> None:
    result = EvaluationResult(
        run_id="r", date="2026-01-01", command="vivavoce evaluate r", data_name="m", simulated=False, data=[]
    )
    page = render_report(result)
    _check(page)
    assert "Simulated" not in page
    assert headline(result) == []
    assert re.findall(r'<section id="([^"]*)"', page) == ["verdict", "again"]


def test_one_picture_is_not_drawn_alone(result: EvaluationResult, views: tuple[EchoView, EchoView]) -> None:
    names = [picture.name for picture in draw_pictures(result, live=views[0])]
    assert names == ["speaker-scores", "speaker-det", "liveness-scores", "liveness-det"]


def test_headline_by_hand(result: EvaluationResult) -> None:
    rows = [
        VerdictRow(truth="target", counts={"accept": 93, "not_live": 4, "abstain": 3, "not_the_speaker": 0}),
        VerdictRow(truth="nontarget", counts={"accept": 0, "not_the_speaker": 50}),
        VerdictRow(truth="replay_stand", counts={"accept": 1, "not_live": 399}),
        VerdictRow(truth="probe_absent", counts={"abstain": 10}),
    ]
    cards = headline(result.model_copy(update={"verdicts": rows}))
    assert [(card.figure, card.detail) for card in cards[:3]] == [
        ("93.0 %", "93 of 100, 3 without an answer"), ("0 %", "0 of 50"), ("0.25 %", "1 of 400"),
    ]  # fmt: skip
    assert cards[1].interval == "0–7.1 %"  # 1 - 0.025^(1/50), Clopper & Pearson


def test_every_measure_is_named_with_its_parameters_and_interval(full: str, complete: EvaluationResult) -> None:
    text = _text(full)
    for measure in [*complete.speaker_measures, *complete.liveness_measures, *complete.system_measures]:
        name, parameters = name_parts(measure.name)
        assert name in text
        assert parameters in text
        assert f"{figure_text(measure)} {interval_text(measure)}" in text
    for row in complete.breakdowns:
        assert row.level in text
        for key in HEADS:
            if getattr(row, key) is not None:
                assert f"{figure_text(getattr(row, key))} {interval_text(getattr(row, key))}" in text
    for part in complete.reliability:
        assert f"{figure_text(part.cllr)} {interval_text(part.cllr)}" in text


def test_too_few_trials_give_the_interval_instead_of_a_figure(full: str, complete: EvaluationResult) -> None:
    few = next(m for m in complete.liveness_measures if m.too_few)
    assert measure_text(few) == "too few trials: between 4.3 % and 77.7 %"
    assert "too few trials between 4.3 % and 77.7 %" in _text(full)
    assert measure_text(few.model_copy(update={"low": None})) == "too few trials"
    assert measure_text(None) == "–"


def test_cards_decision_and_errors_are_shown(full: str, complete: EvaluationResult) -> None:
    text = _text(full)
    for card in (complete.data_card, complete.model_card):
        for title, items in card.items():
            assert title in text
            assert all(name in text and value in text for name, value in items.items())
    assert complete.decision is not None
    assert complete.decision.rule in text
    for error in complete.worst:
        assert error.recording in text
        assert f'src="{error.audio}"' in full
        assert all(f"{name} {value}" in text for name, value in error.conditions.items())
    checker = _check(full)
    assert checker.seen.count("audio") == len(complete.worst)


def test_an_error_against_two_enrolments_shows_one_picture_twice(complete: EvaluationResult) -> None:
    twice = complete.model_copy(update={"worst": [complete.worst[0], complete.worst[0]]})
    _check(render_report(twice))


def test_audio_that_is_no_sound_is_refused(complete: EvaluationResult) -> None:
    assert audio_source("data:audio/ogg;base64,AAAA") == "data:audio/ogg;base64,AAAA"
    for strange in ("https://example.org/a.wav", "javascript:alert(1)", "data:text/html;base64,AAAA"):
        wrong = complete.worst[0].model_copy(update={"audio": strange})
        with pytest.raises(ValueError, match="data URI of sound"):
            render_report(complete.model_copy(update={"worst": [wrong]}))


def test_the_glossary_explains_what_is_shown_and_nothing_else(
    full: str, complete: EvaluationResult, build_result: Callable[..., EvaluationResult]
) -> None:
    assert "a-DCF, agnostic detection cost" in full
    assert "Cllr and minCllr" in full
    voice = render_report(build_result(species=()))
    assert "agnostic detection cost" not in voice
    assert "EER, equal error rate" in voice


def test_rounding_never_claims_none_or_all() -> None:
    assert [percent(share) for share in (0, 0.0004, 0.0123, 0.5, 0.999999, 1)] == [
        "0 %", "0.04 %", "1.2 %", "50.0 %", "99.99 %", "100 %",
    ]  # fmt: skip
    assert [of_hundred(share) for share in (0, 0.001, 0.025, 0.5, 0.999, 1)] == [
        "none", "fewer than 1", "3", "50", "more than 99", "all",
    ]  # fmt: skip
    assert [at_most(share) for share in (0, 0.001, 0.00101, 0.0341, 1)] == ["0 %", "0.1 %", "0.11 %", "3.5 %", "100 %"]
    assert [at_least(share) for share in (0, 0.00199, 0.0349, 1)] == ["0 %", "0.19 %", "3.4 %", "100 %"]


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


def test_the_date_is_written_for_people() -> None:
    assert day("2026-11-30T09:57:29+00:00") == "2026-11-30 09:57 UTC"
    assert day("2026-11-30T09:57:29") == "2026-11-30 09:57"


def test_commands_are_set_as_code_and_nothing_escapes() -> None:
    assert typeset("run `vivavoce calibrate` <now>") == "run <code>vivavoce calibrate</code> &lt;now&gt;"
    assert typeset("one ` alone") == "one ` alone"
    assert typeset("`<script>`") == "<code>&lt;script&gt;</code>"
