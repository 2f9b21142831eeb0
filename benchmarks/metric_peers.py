"""Public reference implementations of metrics, loaded from clones or installed packages, without what they do not need.

What is absent is None; each reference's own code computes its figures.
"""

import importlib
import importlib.util
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from unittest.mock import MagicMock, patch

import numpy as np
from numpy.typing import NDArray

from vivavoce.evaluation.metrics.rates import SpoofingRates
from vivavoce.evaluation.metrics.spoofing import ADcfCosts
from vivavoce.evaluation.metrics.tandem import SpeakerRates

Floats = NDArray[np.float64]

# What SpeechBrain's file of metrics imports for purposes other than EER and minDCF.
SPEECHBRAIN_PARTS = (
    "speechbrain",
    "speechbrain.dataio",
    "speechbrain.dataio.dataio",
    "speechbrain.dataio.wer",
    "speechbrain.utils",
    "speechbrain.utils.data_utils",
    "speechbrain.utils.edit_distance",
)


class Classes(NamedTuple):
    """Scores of each class of trials, each ``(trials,)``."""

    targets: Floats
    nontargets: Floats
    spoofs: Floats


@dataclass(frozen=True)
class AsvSpoof5:
    """The ASVspoof 5 evaluation package, and the scores that come with the challenge's repository."""

    metrics: Any  # calculate_metrics.py
    modules: Any  # calculate_modules.py
    fusion: Any  # util_metric.py of the fusion tool
    scores: Path  # speaker scores, liveness scores and labels of the baselines on the development set

    def track_one(self, live: Floats, attacks: Floats) -> tuple[float, float, float, float]:
        """Give min DCF, EER, Cllr and actual DCF of liveness scores, at the package's own prior and costs."""
        keys = np.repeat(["bonafide", "spoof"], [live.size, attacks.size])
        return self.metrics.calculate_minDCF_EER_CLLR_actDCF(np.r_[live, attacks], keys, "", printout=False)

    def track_two(self, speaker: Classes, liveness: Classes, fused: Classes) -> tuple[float, float, float]:
        """Give a-DCF, min t-DCF and t-EER (%) of scores by class, at the package's own priors and costs."""
        sizes = [part.size for part in fused]
        keys = np.repeat(["target", "nontarget", "spoof"], sizes)
        live_keys = np.repeat(["bonafide", "bonafide", "spoof"], sizes)
        voice, mouth, both = (np.concatenate(parts) for parts in (speaker, liveness, fused))
        return self.metrics.calculate_aDCF_tdcf_tEER(
            mouth, voice, both, live_keys, keys, "", printout=False, asv_scores_org=voice, asv_keys_org=keys
        )

    def t_dcf(self, live: Floats, attacks: Floats, speaker: SpeakerRates, costs: ADcfCosts) -> tuple[float, float]:
        """Give the minimum t-DCF in the forms of 2020 and of 2019, both for given rates of the speaker score."""
        p_miss, p_fa, p_fa_spoof = speaker
        priors = {"Ptar": costs.p_target, "Pnon": costs.p_nontarget, "Pspoof": costs.p_spoof}
        new = {"Cmiss": costs.c_miss, "Cfa": costs.c_fa_nontarget, "Cfa_spoof": costs.c_fa_spoof}
        old = {"Cmiss_asv": costs.c_miss, "Cmiss_cm": costs.c_miss}
        old |= {"Cfa_asv": costs.c_fa_nontarget, "Cfa_cm": costs.c_fa_spoof}
        curves = (
            self.modules.compute_tDCF(live, attacks, p_fa, p_miss, p_fa_spoof, priors | new, False),
            self.modules.compute_tDCF_legacy(live, attacks, p_fa, p_miss, 1 - p_fa_spoof, priors | old, False),
        )
        return float(curves[0][0].min()), float(curves[1][0].min())

    def t_eer(self, liveness: tuple[Floats, Floats, Floats], speaker: SpoofingRates) -> float:
        """Give the t-EER (0–1) of operating points: of liveness with their thresholds, of the speaker score without."""
        unused = np.zeros(speaker.p_miss.size)  # speaker thresholds, which it only counts
        return self.modules.compute_teer_accelerated(*liveness, *speaker, unused) / 100

    def eer(self, targets: Floats, others: Floats) -> float:
        """Give the EER of the SASV-EER's file."""
        labels = np.repeat([1, 2], [targets.size, others.size])
        return float(self.fusion.compute_sasv_eer(np.r_[targets, others], labels)[0])


def asvspoof5(peers: Path) -> AsvSpoof5 | None:
    """Load from the clone ``asvspoof5``."""
    clone = peers / "asvspoof5"
    package, tool = clone / "evaluation-package", clone / "Tool-score-fusion"
    if not package.is_dir():
        return None
    modules, a_dcf = _load(package / "calculate_modules.py"), _load(package / "a_dcf.py")
    util = _load(package / "util.py", pandas=MagicMock())  # for reading tables, which are given here
    metrics = _load(package / "calculate_metrics.py", calculate_modules=modules, a_dcf=a_dcf, util=util)
    return AsvSpoof5(metrics, modules, _load(tool / "util_metric.py"), tool / "dev_scores_label.csv")


def speechbrain(peers: Path) -> Any | None:
    """Load the one file of SpeechBrain with EER and minDCF from the clone ``speechbrain``."""
    path = peers / "speechbrain" / "speechbrain" / "utils" / "metric_stats.py"
    if not path.is_file():
        return None
    return _load(path, **{name: MagicMock() for name in SPEECHBRAIN_PARTS})


def a_dcf_package() -> Any | None:
    """Import `a_dcf` from PyPI, where it is installed."""
    return importlib.import_module("a_dcf.a_dcf") if importlib.util.find_spec("a_dcf") else None


def a_dcf_of_package(package: Any, fused: Classes, costs: ADcfCosts) -> float:
    """Compute min a-DCF as the package does, from a file of trials."""
    classes = zip(("target", "nontarget", "spoof"), fused, strict=True)
    lines = [f"enrolled tested {score!r} {name}" for name, scores in classes for score in scores.tolist()]
    model = package.CostModel(
        Ptrg=costs.p_target,
        Pnontrg=costs.p_nontarget,
        Pspf=costs.p_spoof,
        Cmiss=costs.c_miss,
        Cfa_asv=costs.c_fa_nontarget,
        Cfa_cm=costs.c_fa_spoof,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.txt"
        path.write_text("\n".join(lines))
        # The package asks numpy for a name that it no longer has.
        with patch.object(np, "float", float, create=True):
            return float(package.calculate_a_dcf(path, model, printres=False)["min_a_dcf"])


def _load(path: Path, **imports: Any) -> ModuleType:
    """Run a file as a module, with stand-ins for what it imports."""
    spec = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    with patch.dict(sys.modules, imports):
        spec.loader.exec_module(module)
    return module
