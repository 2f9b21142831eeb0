"""The verdict of the report: what the figures mean, in sentences that are computed from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from vivavoce.corpus.metadata import Kind
from vivavoce.evaluation.measures import Measure
from vivavoce.evaluation.report.observed import accepted_attacks, accepted_others, by_species, refused_users
from vivavoce.evaluation.report.results import EvaluationResult, percent
from vivavoce.evaluation.report.risk import Risk, judge_risks
from vivavoce.evaluation.report.wording import at_most, counted, number, of_hundred, truth_words
from vivavoce.evaluation.trials.table import TARGET

# Resampling n speakers gives (n - 1) / n of the variance it stands for, and percentiles of so few draws are rough; from
# thirty on, either matters less than the choice of the speakers.
FEW_SPEAKERS = 30

SIMULATED = (
    "The voices are as recorded or synthesised; the probe, the moving mouth's echo, the phone and the room were "
    "computed. These figures compare systems under the simulator's assumptions and do not promise the same on phones "
    "in the field."
)


@dataclass(frozen=True)
class Finding:
    """One thing found, in a sentence, and what was promised of it."""

    subject: str
    text: str
    promises: tuple[Risk, ...] = ()


@dataclass(frozen=True)
class Conclusion:
    """What the report says first."""

    title: str
    summary: str
    findings: list[Finding]
    cautions: list[Finding]


def conclude(result: EvaluationResult) -> Conclusion:
    """Put into words what the result shows: the stated risk, users, other people, attacks, abstentions."""
    risks = judge_risks(result)
    summary, title = _summary(result), _title(risks)
    return Conclusion(
        title=title or summary,
        summary=summary if title else "",
        findings=_findings(result, risks),
        cautions=_cautions(result),
    )


def abstains_always(result: EvaluationResult) -> bool:
    """Whether no recording got an answer, as where a run knows no liveness."""
    return bool(result.verdicts) and all(row.counts.get("abstain", 0) == row.total for row in result.verdicts)


def _title(risks: list[Risk]) -> str:
    found = {risk.status for risk in risks}
    if "broken" in found:
        return "The stated risk was not kept."
    if "open" in found:
        return "These trials are too few to show that the stated risk was kept."
    return "The stated risk was kept." if found else ""


def _summary(result: EvaluationResult) -> str:
    if abstains_always(result):
        return _voice_alone(result)
    parts = []
    rejected, others, attacks = refused_users(result), accepted_others(result), accepted_attacks(result)
    unanswered = next((row.share("abstain") for row in result.verdicts if row.truth == TARGET), None)
    if rejected is not None and rejected.value is not None:
        own = "recordings by the user" if result.speaker else "live recordings"
        parts.append(f"of 100 {own}, {_of_hundred(1 - rejected.value)} accepted")
        if unanswered:
            parts[-1] += f" and {of_hundred(unanswered)} {_verb(unanswered, 'get', 'gets')} no answer"
    if others is not None and others.value is not None:
        parts.append(f"of 100 by another person, {_of_hundred(others.value)} let in")
    if attacks is not None and attacks.value is not None:
        parts.append(f"of 100 attacks, {_of_hundred(attacks.value)} let in")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text else _voice_alone(result)


def _of_hundred(share: float) -> str:
    return f"{of_hundred(share)} {_verb(share, 'are', 'is')}"


def _verb(share: float, plural: str, singular: str) -> str:
    return singular if of_hundred(share) in ("1", "none", "fewer than 1") else plural


def _voice_alone(result: EvaluationResult) -> str:
    speaker = result.speaker
    if speaker is None:
        return "Nothing was decided on these recordings."
    if speaker.miss and speaker.false_alarm:
        return (
            f"By voice alone, of 100 recordings by the user {of_hundred(1 - speaker.miss.value)} are recognised; of "
            f"100 by other people {of_hundred(speaker.false_alarm.value)} are taken for them."
        )
    return f"By voice alone, users and other people are confused in equal shares at {percent(speaker.eer.value)}."


def _findings(result: EvaluationResult, risks: Sequence[Risk]) -> list[Finding]:
    if abstains_always(result):
        return []
    texts = {
        "false_rejects": ("The user" if result.speaker else "Live recordings", _users(result)),
        "false_accepts": ("Other people", _sentence(accepted_others(result))),
        "attacks_accepted": ("Attacks", _sentence(accepted_attacks(result))),
    }
    found = [
        Finding(subject, text, tuple(risk for risk in risks if risk.key == key))
        for key, (subject, text) in texts.items()
        if text
    ]
    rest = [Finding(risk.subject, "", (risk,)) for risk in risks if not texts.get(risk.key, ("", ""))[1]]
    return [*found, *rest, *(item for item in (_weakest(result), _unanswered(result)) if item)]


def _users(result: EvaluationResult) -> str:
    row = next((row for row in result.verdicts if row.truth == TARGET and row.total), None)
    rejected = refused_users(result)
    if row is None or rejected is None:
        return _sentence(rejected, "turned away")
    accepted, unanswered = row.counts.get("accept", 0), row.counts.get("abstain", 0)
    refused = row.total - accepted - unanswered
    text = (
        f"{number(accepted)} of {counted(row.total, 'trial')} were accepted, {number(refused)} refused, "
        f"{number(unanswered)} got no answer"
    )
    return f"{text}." if rejected.high is None else f"{text}: at most {at_most(rejected.high)} are turned away."


def _sentence(rate: Measure | None, verb: str = "let in") -> str:
    return f"{_let_in(rate, verb)}." if rate is not None else ""


def _let_in(rate: Measure, verb: str = "let in") -> str:
    trials = sum(rate.trials.values())
    text = f"None of {counted(trials, 'trial')} was {verb}"
    if rate.errors:
        share = "" if rate.value is None else f" ({percent(rate.value)})"
        were = "was" if rate.errors == 1 else "were"
        text = f"{number(rate.errors)} of {counted(trials, 'trial')}{share} {were} {verb}"
    return text if rate.high is None else f"{text}: at most {at_most(rate.high)}"


def _weakest(result: EvaluationResult) -> Finding | None:
    found = by_species(result)
    # One success in three trials of one species says less than ten in a hundred of another.
    species = {name: rate for name, rate in found.items() if not rate.too_few} or found
    if len(found) < 2:
        return None
    name, rate = max(species.items(), key=lambda item: ((item[1].errors or 0) / _trials(item[1]), item[1].high or 0))
    words = truth_words(name)
    if rate.errors:
        return Finding("Weakest point", f"{words.capitalize()}: {_lower(_let_in(rate))}.")
    return Finding("Least certain", f"No kind was let in once. {words.capitalize()}: {_lower(_let_in(rate))}.")


def _unanswered(result: EvaluationResult) -> Finding | None:
    rows = [row for row in result.abstentions if Kind(row.kind).readable]
    total = sum(row.recordings for row in rows)
    if not total:
        return None
    without = sum(sum(row.reasons.values()) for row in rows)
    text = (
        f"{number(without)} of {counted(total, 'readable recording')} ({percent(without / total)}) could not be judged"
    )
    reasons: dict[str, int] = {}
    for row in rows:
        for reason, count in row.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    if reasons:
        text += f", most often: {max(reasons, key=lambda reason: reasons[reason])}"
    return Finding("No answer", f"{text}. Such a recording is never accepted.")


def _cautions(result: EvaluationResult) -> list[Finding]:
    found = []
    if result.simulated:
        found.append(Finding("Simulated recordings.", SIMULATED))
    if not (result.liveness or result.liveness_measures):
        text = "These recordings hold no probe, or no attacks, so nothing is said about whether a living mouth speaks."
        found.append(Finding("Liveness was not measured.", text))
    speakers = _speakers(result)
    if 0 < speakers < FEW_SPEAKERS:
        text = "People differ more than recordings do, so intervals from so few of them are rough, and too narrow."
        found.append(Finding(f"Only {counted(speakers, 'speaker')}.", text))
    return found + [Finding("Note.", note) for note in result.notes]


def _speakers(result: EvaluationResult) -> int:
    counts = [row.speakers for row in result.data if row.kind == Kind.LIVE.value]
    return result.speaker.n_speakers if result.speaker else max(counts, default=0)


def _trials(rate: Measure) -> int:
    return max(sum(rate.trials.values()), 1)


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
