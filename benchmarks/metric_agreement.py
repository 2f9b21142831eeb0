"""Metrics beside public reference implementations, on the same scores.

    python benchmarks/metric_agreement.py [--peers DIR]

References: scikit-learn; `a_dcf` from PyPI, where it is installed; and of the clones in DIR, `asvspoof5` (the
evaluation package of ASVspoof 5) and `speechbrain`. What is absent is left out with a sentence. Scores: drawn ones, the
same rounded until most are tied, and every tenth of the real scores that come with the ASVspoof 5 repository (its
speaker and liveness baselines on its development set).

Asked: a difference of at most 1e-6. Where a reference goes by another rule, its rule is also applied to our operating
points, to show that the rule is all of the difference. Prints a table and writes
benchmarks/results/metric_agreement.json. About half a minute.
"""

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn import metrics as sklearn_metrics
from sklearn.isotonic import IsotonicRegression

from metric_peers import AsvSpoof5, Classes, a_dcf_of_package, a_dcf_package, asvspoof5, speechbrain
from vivavoce.evaluation.metrics.detection import act_dcf, eer, min_dcf, roc_auc
from vivavoce.evaluation.metrics.rates import det_curve, error_rates_at, roc_curve, spoofing_curve
from vivavoce.evaluation.metrics.ratios import cllr, min_cllr
from vivavoce.evaluation.metrics.spoofing import A_DCF1, ASVSPOOF5, min_a_dcf, sasv_eer, spf_eer, sv_eer
from vivavoce.evaluation.metrics.tandem import min_t_dcf, speaker_rates, t_eer
from vivavoce.files import write_json

HERE = Path(__file__).resolve().parent
ASKED = 1e-6
Floats = NDArray[np.float64]

NEAREST = "takes the nearest operating point"
NEAREST_TIED = f"{NEAREST}, and lets a threshold divide equal scores"
REJECTED = "passes the share of attacks that the speaker score rejects for that which it accepts"
NEAREST_PAIR_TIED = "takes the nearest pair of operating points, and lets a threshold divide equal scores"


@dataclass(frozen=True)
class Scores:
    """Scores of the same trials by two systems."""

    name: str
    speaker: Classes
    liveness: Classes

    @property
    def fused(self) -> Classes:
        """One score of each trial: the sum of both, each over its standard deviation."""
        voice, mouth = (np.concatenate(parts).std() for parts in (self.speaker, self.liveness))
        return Classes._make(one / voice + two / mouth for one, two in zip(self.speaker, self.liveness, strict=True))

    @property
    def live(self) -> Floats:
        """Liveness scores of targets and non-targets."""
        return np.concatenate([self.liveness.targets, self.liveness.nontargets])


@dataclass(frozen=True)
class Row:
    """One figure, ours and theirs; where rules differ, also theirs applied to our operating points."""

    reference: str
    metric: str
    scores: str
    ours: float
    theirs: float
    by_their_rule: float | None = None
    their_rule: str = ""

    @property
    def difference(self) -> float:
        """How far both figures are apart."""
        return abs(self.ours - self.theirs)

    @property
    def unexplained(self) -> float:
        """What is left of the difference once both go by their rule."""
        return self.difference if self.by_their_rule is None else abs(self.by_their_rule - self.theirs)

    @property
    def answer(self) -> str:
        """Whether the difference is as small as asked, or why not."""
        if self.difference <= ASKED:
            return "reached"
        return f"explained: it {self.their_rule}" if self.unexplained <= ASKED else "MISSED"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=Path("peers"), help="folder of the clones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "metric_agreement.json")
    options = parser.parse_args()
    console = Console(width=200)
    challenge, brain, package = asvspoof5(options.peers), speechbrain(options.peers), a_dcf_package()
    for name, found in {"ASVspoof 5": challenge, "SpeechBrain": brain, "a_dcf": package}.items():
        if found is None:
            console.print(f"Left out: {name}, which is not there.")
    rows: list[Row] = []
    for scores in all_scores(options.seed, challenge):
        rows += against_scikit_learn(scores)
        rows += against_speechbrain(scores, brain) if brain else []
        rows += against_a_dcf(scores, package) if package else []
        rows += against_asvspoof5(scores, challenge) if challenge else []
    rows.sort(key=lambda row: (row.reference, row.metric))
    show(console, rows)
    derived = ("difference", "unexplained", "answer")
    written = [{**asdict(row), **{name: getattr(row, name) for name in derived}} for row in rows]
    versions = {"numpy": np.__version__, "scikit_learn": sklearn.__version__, "torch": torch.__version__}
    write_json(options.out, {"asked": ASKED, "seed": options.seed, **versions, "rows": written})


def all_scores(seed: int, challenge: AsvSpoof5 | None) -> Iterator[Scores]:
    """Give the sets of scores, one after the other."""
    rng = np.random.default_rng(seed)
    counts = 700, 1100, 900
    speaker = [rng.normal(mean, 1, count) for mean, count in zip((3, 0, 2), counts, strict=True)]
    liveness = [rng.normal(mean, 1, count) for mean, count in zip((2, 2, 0), counts, strict=True)]
    yield Scores("drawn", Classes(*speaker), Classes(*liveness))
    speaker, liveness = ([np.round(2 * part) / 2 for part in parts] for parts in (speaker, liveness))
    yield Scores("tied", Classes(*speaker), Classes(*liveness))
    if challenge:
        voice, mouth, label = np.loadtxt(challenge.scores, delimiter=",", skiprows=1)[::10].T
        masks = [label == code for code in (1, 2, 0)]  # as in their util_metric.py
        yield Scores("real", Classes(*(voice[mask] for mask in masks)), Classes(*(mouth[mask] for mask in masks)))


def against_scikit_learn(scores: Scores) -> Iterator[Row]:
    """Compare DET, ROC, the area below it, and min Cllr by their isotonic regression."""

    def row(metric: str, ours: float, theirs: float) -> Row:
        return Row("scikit-learn", metric, scores.name, float(ours), float(theirs))

    targets, nontargets, _ = scores.speaker
    labels = np.repeat([1, 0], [targets.size, nontargets.size])
    both = np.concatenate([targets, nontargets])
    false_alarms, misses, thresholds = sklearn_metrics.det_curve(labels, both)
    p_miss, p_fa = error_rates_at(thresholds, targets, nontargets)
    yield row("DET, largest difference of a rate", np.abs([p_miss - misses, p_fa - false_alarms]).max(), 0)
    ours = roc_curve(targets, nontargets)[:2]
    theirs = sklearn_metrics.roc_curve(labels, both, drop_intermediate=False)[:2]
    yield row("ROC, largest difference of a rate", np.abs(np.subtract(ours, theirs)).max(), 0)
    yield row("ROC AUC", roc_auc(targets, nontargets), sklearn_metrics.roc_auc_score(labels, both))
    weights = np.where(labels == 1, 1 / targets.size, 1 / nontargets.size)
    posterior = IsotonicRegression().fit(both, labels, sample_weight=weights).predict(both)
    cost = -weights @ np.log2(np.where(labels == 1, posterior, 1 - posterior)) / 2
    yield row("min Cllr, bits", min_cllr(targets, nontargets), cost)


def against_speechbrain(scores: Scores, brain: Any) -> Iterator[Row]:
    """Compare EER and minDCF, which they do not normalise; their rates are float32."""
    targets, nontargets, _ = scores.speaker
    tensors = torch.from_numpy(targets), torch.from_numpy(nontargets)
    # Their lowest threshold is the lowest score, which they reject: they have no point that accepts all.
    p_miss, p_fa, _ = (part[1:] for part in det_curve(targets, nontargets))
    ours, theirs = eer(targets, nontargets).rate, brain.EER(*tensors)[0]
    yield Row("SpeechBrain", "EER", scores.name, ours, theirs, nearest_eer(p_miss, p_fa), NEAREST)
    for p_target, c_miss, c_fa in ((0.01, 1, 1), (0.05, 1, 1), (0.01, 10, 1)):
        cost = min_dcf(targets, nontargets, p_target, c_miss, c_fa)
        theirs = brain.minDCF(*tensors, c_miss=c_miss, c_fa=c_fa, p_target=p_target)[0]
        blind = min(c_miss * p_target, c_fa * (1 - p_target))
        yield Row("SpeechBrain", cost.label, scores.name, cost.value, theirs / blind)


def against_a_dcf(scores: Scores, package: Any) -> Iterator[Row]:
    """Compare min a-DCF of the fused score, at both presets."""
    for costs in (A_DCF1, ASVSPOOF5):
        ours = min_a_dcf(*scores.fused, costs)
        yield Row("a_dcf", ours.label, scores.name, ours.value, a_dcf_of_package(package, scores.fused, costs))


def against_asvspoof5(scores: Scores, challenge: AsvSpoof5) -> Iterator[Row]:
    """Compare what the evaluation package gives of both tracks, at its own priors and costs, and the EERs."""

    def row(metric: str, ours: float, theirs: float, by_their_rule: float | None = None, rule: str = "") -> Row:
        return Row("ASVspoof 5", metric, scores.name, float(ours), float(theirs), by_their_rule, rule)

    live, attacks = scores.live, scores.liveness[2]
    weights = 1 - ASVSPOOF5.p_spoof, ASVSPOOF5.c_miss, ASVSPOOF5.c_fa_spoof
    cost, rate, bits, actual = challenge.track_one(live, attacks)
    yield row(min_dcf(live, attacks, *weights).label, min_dcf(live, attacks, *weights).value, cost)
    yield row(act_dcf(live, attacks, *weights).label, act_dcf(live, attacks, *weights).value, actual)
    yield row("Cllr, bits", cllr(live, attacks), bits)
    yield row("EER, liveness", eer(live, attacks).rate, rate, one_by_one_eer(live, attacks), NEAREST_TIED)

    cost, tandem, percent = challenge.track_two(scores.speaker, scores.liveness, scores.fused)
    yield row(min_a_dcf(*scores.fused).label, min_a_dcf(*scores.fused).value, cost)
    # Their speaker threshold is the operating point nearest to its equal error rate.
    at = challenge.modules.compute_eer(scores.speaker.targets, scores.speaker.nontargets)[4]
    speaker = speaker_rates(*scores.speaker, at)
    new, old = challenge.t_dcf(live, attacks, speaker, ASVSPOOF5)
    least = min_t_dcf(live, attacks, speaker).value
    yield row("min t-DCF, 2020 form", least, new)
    yield row("min t-DCF, 2019 form", min_t_dcf(live, attacks, speaker, legacy=True).value, old)
    rejecting = speaker._replace(p_fa_spoof=1 - speaker.p_fa_spoof)
    by_their_rule = min_t_dcf(live, attacks, rejecting).value
    yield row("min t-DCF, as track 2 gives it", least, tandem, by_their_rule, REJECTED)
    curves, _ = spoofing_curve(*Classes(*one_by_one(*scores.speaker)))
    theirs = challenge.t_eer(one_by_one_curve(live, attacks), curves)
    yield row("t-EER", t_eer(*scores.speaker, live, attacks), percent / 100, theirs, NEAREST_PAIR_TIED)

    targets, nontargets, spoofs = scores.fused
    for name, ours, others in (
        ("SV-EER", sv_eer(targets, nontargets), nontargets),
        ("SPF-EER", spf_eer(targets, spoofs), spoofs),
        ("SASV-EER", sasv_eer(*scores.fused), np.concatenate([nontargets, spoofs])),
    ):
        yield row(name, ours.rate, challenge.eer(targets, others), one_by_one_eer(targets, others), NEAREST_TIED)


def nearest_eer(p_miss: Floats, p_fa: Floats) -> float:
    """Give the mean of both rates at the operating point where they are nearest to each other."""
    index = np.argmin(np.abs(p_miss - p_fa))
    return float(p_miss[index] + p_fa[index]) / 2


def one_by_one(*classes: Floats) -> list[Floats]:
    """Give ranks in place of scores, equal scores ranked in the order of their classes, so that none are tied."""
    order = np.argsort(np.concatenate(classes), kind="stable")
    ranks = np.argsort(order, kind="stable").astype(np.float64)
    return np.split(ranks, np.cumsum([part.size for part in classes])[:-1])


def one_by_one_curve(targets: Floats, nontargets: Floats) -> tuple[Floats, Floats, Floats]:
    """Give `det_curve` where a threshold may divide equal scores; its thresholds are ranks."""
    targets, nontargets = one_by_one(targets, nontargets)
    return det_curve(targets, nontargets)


def one_by_one_eer(targets: Floats, nontargets: Floats) -> float:
    """Give `nearest_eer` where a threshold may divide equal scores."""
    p_miss, p_fa, _ = one_by_one_curve(targets, nontargets)
    return nearest_eer(p_miss, p_fa)


def show(console: Console, rows: list[Row]) -> None:
    table = Table(title=f"Metrics beside their references; asked: {ASKED:g}", box=None, pad_edge=False)
    for heading in ("reference", "metric", "scores"):
        table.add_column(heading)
    for heading in ("ours", "theirs", "difference", "by their rule"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        ruled = "" if row.by_their_rule is None else f"{row.unexplained:.1e}"
        figures = f"{row.ours:.9f}", f"{row.theirs:.9f}", f"{row.difference:.1e}", ruled
        table.add_row(row.reference, row.metric, row.scores, *figures, row.answer)
    console.print(table)


if __name__ == "__main__":
    main()
