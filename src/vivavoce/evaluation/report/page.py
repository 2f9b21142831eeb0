"""The report of an evaluation: one HTML file that needs nothing else, neither network nor scripts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import yaml

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.report.figure import Picture
from vivavoce.evaluation.report.plots import (
    EchoView,
    det_picture,
    echo_pictures,
    histogram_picture,
    species_labels,
    training_pictures,
)
from vivavoce.evaluation.report.results import (
    POOLED,
    TRUTHS,
    VERDICTS,
    Estimate,
    EvaluationResult,
    LivenessResult,
    SpeakerResult,
    VerdictRow,
    percent,
)
from vivavoce.evaluation.trials.table import NONTARGET, TARGET
from vivavoce.files import write_text
from vivavoce.pages import page_environment

TEMPLATE = "report.html.j2"
VERDICT_WORDS = {
    "accept": "accept",
    "not_the_speaker": "not the speaker",
    "not_live": "not live",
    "abstain": "abstain",
}


@dataclass(frozen=True)
class Card:
    """One headline figure, in a plain sentence."""

    label: str
    figure: str
    detail: str
    sentence: str


def write_report(
    result: EvaluationResult,
    path: Path | str,
    *,
    metrics: Sequence[Mapping[str, object]] = (),
    live: EchoView | None = None,
    replayed: EchoView | None = None,
) -> None:
    """Write the report as one HTML file, atomically.

    Args:
        result: what the evaluation found; parts it lacks are left out of the report.
        path: the HTML file.
        metrics: the lines of the run's ``metrics.jsonl``, for the learning curves.
        live: both bands of a live recording.
        replayed: both bands of a replayed one; drawn only where both are given.

    Raises:
        UserError: the file cannot be written.
    """
    write_text(path, render_report(result, draw_pictures(result, metrics, live, replayed)))


def draw_pictures(
    result: EvaluationResult,
    metrics: Sequence[Mapping[str, object]] = (),
    live: EchoView | None = None,
    replayed: EchoView | None = None,
) -> list[Picture]:
    """Draw every figure for which the result and the arguments hold the data, in the order of the report."""
    scores, pictures = result.scores, []
    if live is not None and replayed is not None:
        pictures += echo_pictures(live, replayed)
    attacks = {kind: values for kind, values in scores.liveness.items() if kind != Kind.LIVE and len(values)}
    genuine = scores.liveness.get(Kind.LIVE.value)
    if scores.speaker_target.size and scores.speaker_nontarget.size:
        pair = (scores.speaker_target, scores.speaker_nontarget)
        at = result.speaker.threshold if result.speaker else None
        words = ("the user", {"other people": pair[1]})
        pictures.append(histogram_picture("speaker-scores", "Speaker scores", (words[0], pair[0]), words[1], at))
        pictures.append(det_picture("speaker-det", "Speaker error trade-off", {"speaker": pair}))
    if genuine is not None and len(genuine) and attacks:
        words = species_labels(list(attacks))
        at = result.liveness_pooled.threshold if result.liveness_pooled else None
        strips = {words[kind]: values for kind, values in attacks.items()}
        curves = {words[kind]: (genuine, values) for kind, values in attacks.items()}
        pictures.append(histogram_picture("liveness-scores", "Liveness scores", ("live", genuine), strips, at))
        pictures.append(det_picture("liveness-det", "Liveness error trade-off", curves))
    return [*pictures, *training_pictures(metrics)]


def render_report(result: EvaluationResult, pictures: Sequence[Picture] = ()) -> str:
    """Give the report as HTML text; everything from the result is escaped."""
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "percent": percent,
        "estimate": estimate,
        "bounds": bounds,
        "number": _number,
        "groupby_condition": _conditions,
        "truth": _truth,
        "verdict": _verdict,
    }
    return environment.get_template(TEMPLATE).render(
        r=result,
        cards=headline(result),
        pictures=pictures,
        verdicts=VERDICTS,
        right_verdict=right_verdict,
        rule_of_3=_used_rule_of_3(result),
        config=yaml.safe_dump(result.model_dump(mode="json")["config"], sort_keys=False, allow_unicode=True),
    )


def headline(result: EvaluationResult) -> list[Card]:
    """Give the figures that a reader must see first, as plain sentences."""
    rows = {row.truth: row for row in result.verdicts if row.total}
    cards = []
    if TARGET in rows:
        row = rows[TARGET]
        turned = of_hundred(row.share("abstain"))
        sentence = (
            f"Of 100 recordings by the user, {of_hundred(row.share('accept'))} are accepted and {turned} get no answer."
        )
        cards.append(Card("User accepted", percent(row.share("accept")), _counts(row), sentence))
    if NONTARGET in rows:
        row = rows[NONTARGET]
        sentence = f"Of 100 live recordings by another person, {of_hundred(row.share('accept'))} are accepted."
        cards.append(Card("Others accepted", percent(row.share("accept")), _counts(row), sentence))
    spoofs = [row for name, row in rows.items() if name in set(Kind) and Kind(name).is_spoof]
    if spoofs:
        pooled = VerdictRow(truth=POOLED, counts={v: sum(row.counts.get(v, 0) for row in spoofs) for v in VERDICTS})
        worst = max(spoofs, key=lambda row: row.share("accept"))
        sentence = f"Of 100 attacks with the user's voice, {of_hundred(pooled.share('accept'))} are accepted."
        if len(spoofs) > 1 and worst.share("accept") > 0:
            sentence += f" Most often: {_truth(worst.truth)} ({percent(worst.share('accept'))})."
        cards.append(Card("Attacks accepted", percent(pooled.share("accept")), _counts(pooled), sentence))
    if result.speaker:
        cards.append(_speaker_card(result.speaker))
    if result.liveness_pooled:
        cards.append(_liveness_card(result.liveness_pooled, result.liveness))
    return cards


def right_verdict(truth: str) -> str:
    """Give the verdict that a recording of this truth should get."""
    if truth == TARGET:
        return "accept"
    if truth == NONTARGET:
        return "not_the_speaker"
    return "not_live" if Kind(truth).is_spoof else "abstain"


def of_hundred(share: float) -> str:
    """Say how many of a hundred a share (0–1) is, without rounding to none or to all."""
    if share in (0, 1):
        return "all" if share else "none"
    if share < 0.005:
        return "fewer than 1"
    return "more than 99" if share > 0.995 else str(round(100 * share))


def bounds(rate: Estimate) -> str:
    """Write the interval of a rate in per cent; empty where it has none; † marks the rule of 3."""
    if rate.low is None or rate.high is None:
        return ""
    mark = " †" if rate.method == "rule of 3" else ""
    return f"{percent(rate.low).removesuffix(' %')}–{percent(rate.high).removesuffix(' %')}{mark}"


def estimate(rate: Estimate | None) -> str:
    """Write a rate with its interval, or a dash."""
    if rate is None:
        return "–"
    return f"{percent(rate.value)} ({bounds(rate)})" if bounds(rate) else percent(rate.value)


def _speaker_card(speaker: SpeakerResult) -> Card:
    detail = f"95 %: {bounds(speaker.eer)}" if bounds(speaker.eer) else f"{speaker.n_speakers} speakers"
    sentence = "The rate at which wrong rejects and wrong accepts of a voice are equal."
    if speaker.miss and speaker.false_alarm:
        sentence = (
            f"By voice alone, of 100 recordings by the user {of_hundred(1 - speaker.miss.value)} are recognised; "
            f"of 100 by other people {of_hundred(speaker.false_alarm.value)} are taken for them."
        )
    return Card("Speaker EER", percent(speaker.eer.value), detail, sentence)


def _liveness_card(pooled: LivenessResult, species: Sequence[LivenessResult]) -> Card:
    detail = f"95 %: {bounds(pooled.eer)}" if bounds(pooled.eer) else "all attacks pooled"
    sentence = "The rate at which live recordings rejected and attacks missed are equal."
    if pooled.apcer and pooled.bpcer:
        sentence = (
            f"Of 100 living mouths {of_hundred(1 - pooled.bpcer.value)} are found live; "
            f"of 100 attacks {of_hundred(pooled.apcer.value)} are taken for one."
        )
    if len(species) > 1:
        worst = max(species, key=lambda row: row.eer.value)
        sentence += f" Hardest: {_truth(worst.species)} (EER {percent(worst.eer.value)})."
    return Card("Liveness EER", percent(pooled.eer.value), detail, sentence)


def _counts(row: VerdictRow) -> str:
    return f"{row.counts.get('accept', 0):,} of {row.total:,}".replace(",", " ")


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}".replace(",", " ") if isinstance(value, int) else f"{value:.3f}".replace("-", "−")


def _conditions(rows: Sequence[LivenessResult]) -> list[list[LivenessResult]]:
    """Group neighbouring rows of the same posture and distance."""
    return [list(group) for _, group in groupby(rows, key=lambda row: (row.posture, row.distance))]


def _truth(name: str) -> str:
    return {POOLED: "all attacks", Kind.LIVE.value: "live"}.get(name, TRUTHS.get(name, name))


def _verdict(name: str) -> str:
    return VERDICT_WORDS.get(name, name)


def _used_rule_of_3(result: EvaluationResult) -> bool:
    return '"rule of 3"' in result.model_dump_json()
