"""The report of an evaluation: one HTML file that needs nothing else, neither network nor scripts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from markupsafe import Markup

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.bootstrap import RESAMPLES
from vivavoce.evaluation.measures import LEAST_TRIALS, Measure
from vivavoce.evaluation.report import breakdowns, tables, wording
from vivavoce.evaluation.report.cards import headline
from vivavoce.evaluation.report.conclusion import abstains_always, conclude
from vivavoce.evaluation.report.echoes import EchoView
from vivavoce.evaluation.report.figure import BLUE, Picture
from vivavoce.evaluation.report.glossary import used_terms
from vivavoce.evaluation.report.observed import EXACT, accepted_attacks, accepted_others, refused_users
from vivavoce.evaluation.report.pictures import draw_pictures
from vivavoce.evaluation.report.results import VERDICTS, EvaluationResult, percent
from vivavoce.evaluation.report.risk import judge_risks
from vivavoce.evaluation.report.wording import RULE_OF_3
from vivavoce.evaluation.trials.table import NONTARGET, TARGET
from vivavoce.files import write_text
from vivavoce.pages import page_environment

TEMPLATE = "report.html.j2"
AUDIO = re.compile(r"data:audio/[\w.+-]+;base64,[A-Za-z0-9+/=\s]*")


@dataclass(frozen=True)
class Section:
    """One section of the report; its id names the template that writes it."""

    id: str
    title: str


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


def render_report(result: EvaluationResult, pictures: Sequence[Picture] = ()) -> str:
    """Give the report as HTML text; everything from the result is escaped but its own pictures."""
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "percent": percent,
        "day": wording.day,
        "number": wording.number,
        "truth": wording.truth_words,
        "verdict": wording.verdict_words,
        "measure": wording.measure_text,
        "own_ids": own_ids,
        "themed": themed,
        "typeset": wording.typeset,
        "audio": audio_source,
    }
    environment.globals |= {"tables": tables, "breakdowns": breakdowns, "right_verdict": right_verdict}
    measures = list(_measures(result))
    return environment.get_template(TEMPLATE).render(
        r=result,
        conclusion=conclude(result),
        cards=headline(result),
        sections=list_sections(result, pictures),
        pictures={picture.name: picture for picture in pictures},
        risks=judge_risks(result),
        terms=used_terms(measure.key for measure in measures),
        verdicts=VERDICTS,
        rule_of_3=f'"{RULE_OF_3}"' in result.model_dump_json(),
        reliability_names=[f"reliability-{found.part}" for found in result.reliability],
        exact=any(measure.method == EXACT for measure in measures),
        again=_again(result),
        resamples=RESAMPLES,
        least_trials=LEAST_TRIALS,
        config=yaml.safe_dump(result.model_dump(mode="json")["config"], sort_keys=False, allow_unicode=True),
    )


def list_sections(result: EvaluationResult, pictures: Sequence[Picture] = ()) -> list[Section]:
    """Give the sections for which there are data, in their order."""
    names = {picture.name for picture in pictures}
    decided = bool(result.verdicts) and not abstains_always(result)
    liveness = bool(result.liveness or result.liveness_measures) or "liveness-det" in names
    present = {
        "demonstrations": ("Shown to the finished system", bool(result.demonstrations)),
        "verdicts": ("The four verdicts", bool(result.verdicts)),
        "system": ("The whole system", (decided and bool(result.system_measures)) or "system-det" in names),
        "speaker": ("Who is speaking", bool(tables.speaker_measures(result)) or "speaker-det" in names),
        "liveness": ("Is a living mouth saying it", liveness),
        "calibration": ("Thresholds and calibration", bool(result.decision or result.reliability)),
        "breakdowns": ("For whom and where it works", bool(result.breakdowns or result.conditions)),
        "errors": ("The worst errors", bool(result.worst)),
        "abstentions": ("No answer", any(row.reasons for row in result.abstentions)),
        "data": ("Data card", bool(result.data or result.data_card)),
        "model": ("Model card", bool(result.model_card) or bool({"losses", "schedule"} & names)),
        "method": ("How to read the figures", bool(result.data)),
        "again": ("To get this report again", True),
    }
    return [Section(name, title) for name, (title, shown) in present.items() if shown]


def right_verdict(truth: str) -> str:
    """Give the verdict that a recording of this truth should get."""
    if truth == TARGET:
        return "accept"
    if truth == NONTARGET:
        return "not_the_speaker"
    return "not_live" if Kind(truth).is_spoof else "abstain"


def themed(svg: str) -> Markup:
    """Let the page choose a lighter blue for a picture on a dark ground."""
    return Markup(svg.replace(BLUE.lower(), "var(--plot-blue)"))


def own_ids(svg: str, prefix: str) -> Markup:
    """Put a prefix before every id of a picture, so that two of them in one page share none."""
    text = re.sub(r' id="([^"]*)"', rf' id="{prefix}-\1"', svg)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    return Markup(re.sub(r'href="#', f'href="#{prefix}-', text))


def audio_source(uri: str) -> str:
    """Let a data URI of sound pass.

    Raises:
        ValueError: it is something else, which a page that fetches nothing must not hold.
    """
    if not AUDIO.fullmatch(uri):
        raise ValueError(f"the audio of a report must be a data URI of sound, not {uri[:40]!r}")
    return uri


def _again(result: EvaluationResult) -> dict[str, dict[str, str]]:
    """What else it takes to get the same report, and what it took."""
    times = {name: f"{seconds:.1f} s" for name, seconds in result.timings_s.items()}
    parts = {"Hashes": result.hashes, "Versions": result.versions, "Time": times}
    return {title: items for title, items in parts.items() if items}


def _measures(result: EvaluationResult) -> Iterator[Measure]:
    """Every measure that the report shows."""
    yield from (*result.system_measures, *tables.speaker_measures(result), *result.liveness_measures)
    yield from () if result.liveness_measures else tables.liveness_overall(result)
    yield from (m for m in (refused_users(result), accepted_others(result), accepted_attacks(result)) if m)
    yield from (m for found in result.reliability for m in (found.cllr, found.min_cllr))
    yield from (m for row in result.breakdowns for key in breakdowns.HEADS if (m := getattr(row, key)))
