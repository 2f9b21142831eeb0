"""A result in which every field is filled, as an evaluation of 25 speakers and nine species gives it."""

import base64
import io
import wave
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.intervals import bootstrap_interval, rate_interval
from vivavoce.evaluation.measures import LEAST_TRIALS, Measure, Unit
from vivavoce.evaluation.metrics.detection import eer
from vivavoce.evaluation.metrics.exact import clopper_pearson
from vivavoce.evaluation.report.echoes import error_picture
from vivavoce.evaluation.report.results import (
    AbstentionRow,
    Breakdown,
    Decision,
    EvaluationResult,
    Reliability,
    ReliabilityBin,
    VerdictRow,
    WorstError,
)

from ..conftest import EVERY_SPECIES, make_result, make_views

COSTS = "p_target=0.9405, p_nontarget=0.0095, p_spoof=0.05, c_miss=1, c_fa_nontarget=10, c_fa_spoof=10"
TANDEM = "asv_p_miss=0.031, asv_p_fa_nontarget=0.0307, asv_p_fa_spoof=0.31, 2020 form"
FACTORS = {
    "sex": ("female", "male"),
    "device": ("Galaxy A52", "Pixel 7", "iPhone 13", "Redmi Note 11 Pro 5G (with a long name)"),
    "distance": ("up to 7 cm", "7–14 cm", "14–28 cm", "over 28 cm"),
    "duration": ("up to 2 s", "2–4 s", "over 4 s"),
    "noise": ("below 10 dB", "10–20 dB", "over 20 dB", "unknown"),
    "posture": ("stand", "handheld"),
    "non-targets": ("same sex", "hard", "random"),
}


def rate(key: str, name: str, errors: int, trials: int, truth: str, species: str | None = None, **more) -> Measure:
    """A rate at a fixed threshold, with the interval that the counts alone give."""
    low, high = clopper_pearson(errors, trials)
    method = "bootstrap by speaker"
    if errors == 0:
        high, method = min(1.0, 3 / trials), "rule of 3"
    return Measure(
        key=key, name=name, unit="rate", value=errors / trials if trials >= LEAST_TRIALS else None, low=low, high=high,
        method=method, species=species, trials={truth: trials}, errors=errors, **more,
    )  # fmt: skip


def figure(
    key: str,
    name: str,
    value: float,
    spread: float,
    unit: Unit = "rate",
    *,
    trials: dict[str, int] | None = None,
    threshold: float | None = None,
) -> Measure:
    """A figure with an interval around it."""
    return Measure(
        key=key,
        name=name,
        unit=unit,
        value=value,
        low=max(value - spread, 0.0),
        high=value + 1.3 * spread,
        method="bootstrap by speaker",
        trials=trials or {"target": 300, "nontarget": 1420, "spoof": 900},
        threshold=threshold,
    )


@cache
def complete_result(seed: int = 11) -> EvaluationResult:
    """Fill every field."""
    rng = np.random.default_rng(seed)
    result = make_result(seed, tuple(EVERY_SPECIES), n_speakers=25)
    target, nontarget = rng.normal(3.4, 1.6, 300), rng.normal(-4, 1.8, 1420)
    spoofs = {name: rng.normal(mean * 1.2 - 1, 1.5, 100) for name, mean in EVERY_SPECIES.items()}
    scores = replace(result.scores, system={"target": target, "nontarget": nontarget, **spoofs})
    verdicts = _verdicts(rng)
    return result.model_copy(
        update={
            "scores": scores,
            "verdicts": verdicts,
            "notes": ["0.4 % of the echo features lie outside the range of the training data."],
            "speaker_measures": _speaker_measures(),
            "liveness_measures": _liveness_measures(result),
            "system_measures": _system_measures(verdicts),
            "breakdowns": _breakdowns(rng),
            "reliability": [_reliability(part, rng) for part in ("speaker", "liveness", "fused")],
            "decision": _decision(),
            "worst": _worst(),
            "abstentions": [
                AbstentionRow(kind="live", recordings=300, reasons={"too quiet": 4, "hold still": 3}),
                AbstentionRow(kind="replay_stand", recordings=100, reasons={}),
                AbstentionRow(kind="probe_absent", recordings=40, reasons={"no probe": 40}),
            ],
            "data_card": DATA_CARD,
            "model_card": MODEL_CARD,
        }
    )


def sound(seconds: float = 0.4) -> str:
    """A short tone as a data URI."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        tone = 8000 * np.sin(2 * np.pi * 220 * np.arange(int(8000 * seconds)) / 8000)
        file.writeframes(tone.astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()


def _speaker_measures() -> list[Measure]:
    trials = {"target": 300, "nontarget": 1420}
    dcf = "p_target=0.01, c_miss=1, c_fa=1"
    return [
        figure("eer", "EER", 0.031, 0.009, trials=trials, threshold=0.391),
        figure("min_dcf", f"minDCF({dcf})", 0.29, 0.06, "cost", trials=trials, threshold=0.52),
        figure("act_dcf", f"actDCF({dcf})", 0.37, 0.08, "cost", trials=trials, threshold=0.48),
        rate("miss", "Users rejected", 9, 300, "target", threshold=0.39),
        rate("false_alarm", "Other people accepted", 44, 1420, "nontarget", threshold=0.39),
    ]


def _liveness_measures(result: EvaluationResult) -> list[Measure]:
    live = result.scores.liveness["live"]
    found = [
        rate("bpcer", "BPCER", int((live < 0.7).sum()), live.size, "live", threshold=0.7),
        figure("acer", "ACER(max over species)", 0.147, 0.02, trials={"live": live.size, "spoof": 880}),
        rate("apcer", "APCER, all species", 71, 880, "spoof", "all", threshold=0.7),
    ]
    return found + [m for name in EVERY_SPECIES for m in _species_measures(name, live, result.scores.liveness[name])]


def _species_measures(name: str, live: NDArray[np.float64], attack: NDArray[np.float64]) -> list[Measure]:
    who, whose = np.arange(live.size) % 25, np.arange(attack.size) % 25
    trials = {"live": live.size, name: attack.size}
    interval = bootstrap_interval(live, attack, who, whose, resamples=100)
    apart = eer(live, attack).rate
    passed = (2, 6) if name == "mouthing" else (int((attack >= 0.7).sum()), attack.size)
    found = [
        Measure(key="eer", name="EER", unit="rate", value=apart, species=name, trials=trials).with_interval(interval),
        rate("apcer", "APCER", *passed, name, name, threshold=0.7),
        rate("apnrr", "APNRR", 100 - attack.size, 100, name, name),
    ]
    for asked in (0.01, 0.05, 0.1):
        missed = live < float(np.quantile(attack, 1 - asked))
        measure = Measure(
            key="bpcer_at_apcer",
            name=f"BPCER@APCER={100 * asked:g} %",
            unit="rate",
            value=float(missed.mean()),
            species=name,
            parameters={"apcer": asked},
            trials=trials,
        )
        found.append(measure.with_interval(rate_interval(missed, who, resamples=100)))
    return found


def _verdicts(rng: np.random.Generator) -> list[VerdictRow]:
    rows = [
        VerdictRow(truth="target", counts={"accept": 279, "not_the_speaker": 4, "not_live": 10, "abstain": 7}),
        VerdictRow(truth="nontarget", counts={"accept": 0, "not_the_speaker": 2890, "not_live": 88, "abstain": 22}),
    ]
    for name, mean in EVERY_SPECIES.items():
        accepted = int(rng.binomial(100, max(0.0, 0.05 + 0.03 * mean)))
        others = {"not_the_speaker": 1, "not_live": 97 - accepted, "abstain": 2}
        rows.append(VerdictRow(truth=name, counts={"accept": accepted, **others}))
    return [*rows, VerdictRow(truth="probe_absent", counts={"abstain": 40})]


def _system_measures(verdicts: list[VerdictRow]) -> list[Measure]:
    counts = {row.truth: row.counts["accept"] for row in verdicts if row.truth in EVERY_SPECIES}
    return [
        rate("false_rejects", "Users rejected", 21, 300, "target"),
        rate("false_accepts", "Other people accepted", 0, 3000, "nontarget"),
        rate("attacks_accepted", "Attacks accepted", sum(counts.values()), 900, "spoof", "all"),
        figure("sasv_eer", "SASV-EER", 0.042, 0.01),
        figure("sv_eer", "SV-EER", 0.028, 0.008, trials={"target": 300, "nontarget": 1420}),
        figure("spf_eer", "SPF-EER", 0.061, 0.015, trials={"target": 300, "spoof": 900}),
        figure("min_a_dcf", f"min a-DCF({COSTS})", 0.084, 0.02, "cost", threshold=1.21),
        figure("act_a_dcf", f"act a-DCF({COSTS})", 0.097, 0.02, "cost", threshold=1.5),
        figure(
            "min_t_dcf",
            f"min t-DCF({COSTS}, asv_p_miss=0.031, asv_p_fa_nontarget=0.0307, 2020 form)",
            0.16,
            0.04,
            "cost",
        ),
        figure("t_eer", "t-EER", 0.058, 0.012),
        rate("abstained", "No answer", 7, 1200, "readable"),
        *(rate("iapar", "IAPAR", count, 100, name, name) for name, count in counts.items()),
    ]


def _breakdowns(rng: np.random.Generator) -> list[Breakdown]:
    return [
        _drawn(number, level) if factor == "non-targets" else _group(factor, level, number, len(levels), rng)
        for factor, levels in FACTORS.items()
        for number, level in enumerate(levels)
    ]


def _drawn(number: int, level: str) -> Breakdown:
    """Non-targets that were drawn in one way: there are neither attacks nor users among them."""
    return Breakdown(
        factor="non-targets",
        level=level,
        trials={"nontarget": 470},
        recordings=470,
        speaker_eer=figure("eer", "EER", 0.02 + 0.02 * number, 0.01),
        false_accepts=rate("false_accepts", "Others accepted", 3 * number, 470, "nontarget"),
    )


def _group(factor: str, level: str, number: int, levels: int, rng: np.random.Generator) -> Breakdown:
    few, share, recordings = level == "unknown", 0.03 + 0.03 * number, 1300 // levels
    trials = {"target": 6 if few else 300 // levels, "nontarget": 1420 // levels, "spoof": 900 // levels}

    def found(key: str, name: str, truth: str, share: float) -> Measure:
        count = trials.get(truth, recordings)
        return rate(key, name, int(rng.binomial(count, share)), count, truth)

    return Breakdown(
        factor=factor,
        level=level,
        trials=trials,
        recordings=recordings,
        speaker_eer=None if few else figure("eer", "EER", share, 0.02),
        liveness_eer=figure("eer", "EER", share + 0.02, 0.025),
        false_rejects=found("false_rejects", "Users rejected", "target", share),
        false_accepts=found("false_accepts", "Others accepted", "nontarget", 0.004 * number),
        attacks_accepted=found("attacks_accepted", "Attacks accepted", "spoof", share),
        abstained=found("abstained", "No answer", "readable", 0.01),
    )


def _reliability(part: str, rng: np.random.Generator) -> Reliability:
    bins = []
    for predicted in (0.02, 0.08, 0.22, 0.41, 0.6, 0.83, 0.95, 0.99):
        count = int(rng.integers(12, 60) if 0.05 < predicted < 0.96 else rng.integers(200, 600))
        true = int(rng.binomial(count, min(1.0, predicted**1.2)))
        low, high = clopper_pearson(true, count)
        bins.append(ReliabilityBin(predicted=predicted, observed=true / count, low=low, high=high, count=count))
    return Reliability(
        part=part,
        cllr=figure("cllr", "Cllr", 0.14, 0.03, "bits"),
        min_cllr=figure("min_cllr", "minCllr", 0.11, 0.03, "bits"),
        bins=bins,
    )


def _decision() -> Decision:
    return Decision(
        rule="Accept where the log-likelihood ratios of voice and mouth, added up, reach the threshold; abstain where "
        "the probe cannot be read.",
        thresholds={"fused, nats": 1.5},
        stated=[
            rate("false_rejects", "Users rejected", 14, 260, "target"),
            rate("attacks_accepted", "Attacks accepted", 6, 700, "spoof"),
        ],
        parameters={"far": 0.04, "p_target": 0.9405, "p_nontarget": 0.0095, "p_spoof": 0.05},
    )


def _worst() -> list[WorstError]:
    cases = (("shifted", "accept"), ("target", "not_live"), ("swapped_mouth", "accept"), ("nontarget", "accept"))
    reasons = {
        "accept": "The enrolled speaker's voice, and the mouth moves with the words.",
        "not_live": "The echo does not move with the words: liveness score -1.40, 0.70 needed.",
    }
    return [
        WorstError(
            truth=truth,
            verdict=verdict,
            recording=f"data/test/speaker{number:02d}/session_2/{truth}_phrase_{number:02d}.wav",
            enrolled=f"speaker{number:02d}",
            margin=2.4 - 0.3 * number,
            speaker_score=0.71,
            liveness_score=2.2 if verdict == "accept" else -1.4,
            reason=reasons[verdict],
            conditions={"device": "Pixel 7", "distance": "10 cm", "posture": "handheld", "SNR": "22 dB"},
            picture=error_picture(make_views(number)[0 if verdict == "accept" else 1]),
            audio=sound(),
        )
        for number, (truth, verdict) in enumerate(cases)
    ]


DATA_CARD = {
    "What it holds": {
        "Source": "speechocean_adult16k, test part; the ultrasound band simulated",
        "Speakers": "25 (13 female, 12 male), none in the training data",
        "Recordings": "1 300, of these 300 live",
        "Language": "English, read aloud by learners",
    },
    "How it was recorded": {
        "Devices": "4 simulated phones",
        "Distance": "4–40 cm, median 11 cm",
        "Probe": "18.0–20.0 kHz, five tones, phases drawn per session",
        "Duration": "1.9–6.2 s, median 3.1 s",
    },
    "What it does not hold": {
        "Ages": "children and people over 65",
        "Places": "streets, cars and crowds",
        "Attacks": "a talking robot head; a phone that replays both bands beside a moving hand",
    },
}
MODEL_CARD = {
    "The model": {
        "Voice": "ECAPA-TDNN, 192 values",
        "Echo": "LSTM over gradients",
        "Parameters": "6.2 million",
        "Input": "one 48 kHz recording",
    },
    "Training": {
        "Data": "data/train.jsonl.gz, 180 speakers",
        "Epochs": "40; best by validation loss: 33",
        "Seed": "0",
    },
    "Meant for": {
        "Use": "unlocking an app by a spoken phrase, phone held at 4–40 cm",
        "Not for": "forensic comparison; speakers who cannot be enrolled",
    },
}
