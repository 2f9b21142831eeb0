"""What each figure of the report means: two sentences for a product owner, the formula for a reviewer."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A figure's name, what it means in plain words, and how it is computed."""

    keys: tuple[str, ...]
    name: str
    words: str
    formula: str


TERMS = (
    Term(
        ("false_accepts", "false_accept_rate", "false_alarm"),
        "Others accepted (false-accept rate)",
        "How often another person, speaking live, is let in as the user.",
        "Accepted non-target trials over all non-target trials, at the fixed thresholds.",
    ),
    Term(
        ("false_rejects", "false_reject_rate", "miss"),
        "Users rejected (false-reject rate)",
        "How often the right person is turned away and must try again.",
        "Target trials that were not accepted over all target trials, at the fixed thresholds.",
    ),
    Term(
        ("attacks_accepted", "iapar", "iapar_worst"),
        "Attacks accepted (IAPAR)",
        "How often an attack with the user's voice passes every check and is let in.",
        "Accepted attack presentations over all presentations of the species, at the fixed thresholds; one that gets "
        "no answer is not accepted (ISO/IEC 30107-3).",
    ),
    Term(
        ("abstained", "abstention", "no_answer", "apnrr", "bpnrr"),
        "No answer (non-response rate)",
        "How often the recording is too poor to be judged, so that the person is asked to try again.",
        "Recordings, or trials, without an answer over all whose probe can be read; APNRR of attacks, BPNRR of live "
        "recordings (ISO/IEC 30107-3).",
    ),
    Term(
        ("eer",),
        "EER, equal error rate",
        "One number for how well two groups are told apart: 0 % is perfect, 50 % is a coin. It is where both kinds of "
        "error are equally frequent, which is rarely where a product works.",
        "The ROC, its operating points joined by straight lines, meets P(miss) = P(false alarm).",
    ),
    Term(
        ("min_dcf", "act_dcf"),
        "minDCF and actDCF, detection cost",
        "What errors cost on average, where genuine users are as rare and errors as dear as the parameters say: 0 is "
        "perfect, 1 is no better than always giving the same answer. The minimum is over all thresholds, the actual "
        "cost at the threshold in use.",
        "(c_miss p_target P(miss) + c_fa (1 − p_target) P(false alarm)) / min(c_miss p_target, c_fa (1 − p_target)).",
    ),
    Term(
        ("sasv_eer", "sv_eer", "spf_eer"),
        "SASV-EER, SV-EER, SPF-EER",
        "The equal error rate of the whole system: users against everyone who should be kept out (SASV), against other "
        "people only (SV), against attacks only (SPF).",
        "The equal error rate of the deciding score, with the negatives named.",
    ),
    Term(
        ("min_a_dcf", "act_a_dcf"),
        "a-DCF, agnostic detection cost",
        "What the errors of the whole system cost, with other people and attacks each weighed: 0 is perfect, 1 is no "
        "better than always giving the same answer.",
        "(c_miss p_target P(miss) + c_fa_nontarget p_nontarget P(nontarget accepted) + c_fa_spoof p_spoof P(spoof "
        "accepted)) over the lower cost of accepting all or rejecting all (Shim et al. 2024).",
    ),
    Term(
        ("min_t_dcf",),
        "min t-DCF, tandem detection cost",
        "What errors cost where the liveness check stands before a speaker check whose threshold is fixed.",
        "Kinnunen et al. 2020, over all liveness thresholds, normalised by the better of no check and a shut door.",
    ),
    Term(
        ("t_eer",),
        "t-EER, tandem equal error rate",
        "The error rate at which users rejected, other people accepted and attacks accepted are all equal, with both "
        "thresholds free.",
        "The concurrent t-EER of Kinnunen et al. 2023.",
    ),
    Term(
        ("apcer", "apcer_worst"),
        "APCER, attacks taken for live",
        "How often the liveness check alone takes an attack of one kind for a living mouth; the worst kind counts.",
        "Attack presentations of one species classified as live over those that got an answer (ISO/IEC 30107-3).",
    ),
    Term(
        ("bpcer",),
        "BPCER, live taken for an attack",
        "How often the liveness check alone turns a living mouth away.",
        "Live presentations classified as attacks over those that got an answer (ISO/IEC 30107-3).",
    ),
    Term(
        ("acer",),
        "ACER",
        "The mean of both liveness errors, with the worst kind of attack.",
        "(max over species of APCER + BPCER) / 2.",
    ),
    Term(
        ("bpcer_at_apcer",),
        "BPCER@APCER",
        "How many living mouths would be turned away if at most this share of attacks could pass.",
        "The lowest BPCER over the thresholds whose APCER is at most the stated share.",
    ),
    Term(
        ("cllr", "min_cllr"),
        "Cllr and minCllr",
        "How good the scores are as probabilities: 0 bits is perfect, 1 bit says nothing. What Cllr exceeds minCllr by "
        "is lost to calibration and can be mended without retraining.",
        "The mean of log2(1 + 1/LR) over targets and of log2(1 + LR) over non-targets, halved; the minimum is over all "
        "rising calibrations (Brümmer & du Preez 2006).",
    ),
    Term(
        ("auc", "roc_auc"),
        "AUC",
        "The chance that a genuine recording scores above one that should be rejected.",
        "The area under the ROC; ties count one half.",
    ),
)


def used_terms(keys: Iterable[str]) -> list[Term]:
    """Give the terms behind these keys of measures, in the order of the glossary; a key may end in its parameter."""
    present = set(keys)
    return [term for term in TERMS if any(_names(key, term.keys) for key in present)]


def _names(key: str, keys: tuple[str, ...]) -> bool:
    return key in keys or any(key.startswith("bpcer_at_apcer") and own == "bpcer_at_apcer" for own in keys)
