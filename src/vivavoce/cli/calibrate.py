"""`vivavoce calibrate`."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out
from vivavoce.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from vivavoce.evaluation.calibration.decision import Aim

# What the options call the measures of a recording.
QUALITIES = {"duration": "duration", "snr": "snr_db", "level": "level_dbfs"}


class Method(StrEnum):
    """How scores become ratios."""

    LOGISTIC = "logistic"
    ISOTONIC = "isotonic"


class Fusion(StrEnum):
    """How two answers become a decision."""

    RULE = "rule"
    PRODUCT = "product"
    LOGISTIC = "logistic"


class Condition(StrEnum):
    """What each has a map of its own."""

    NONE = "none"
    POSTURE = "posture"
    DEVICE = "device"
    DURATION = "duration"


def calibrate(
    run: Annotated[Path, typer.Argument(help="A run folder; its calibration.json is replaced, the old one kept.")],
    far: Annotated[
        float | None, typer.Option(help="Accept at most this share of other speakers, and of attacks: 0.001.")
    ] = None,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="With --far: go below what the trials are enough to show.")
    ] = False,
    prior: Annotated[
        float | None, typer.Option(help="How often it is the user, live, who claims to be. Default: 0.9405.")
    ] = None,
    p_spoof: Annotated[
        float | None, typer.Option(help="How often it is an attack; the rest are other speakers. Default: 0.05.")
    ] = None,
    costs: Annotated[
        str | None,
        typer.Option(help="Of refusing the user, accepting another speaker, accepting an attack. Default: 1,10,10."),
    ] = None,
    method: Annotated[Method, typer.Option(help="How scores become likelihood ratios.")] = Method.LOGISTIC,
    fusion: Annotated[Fusion, typer.Option(help="How speaker and liveness become one decision.")] = Fusion.RULE,
    condition: Annotated[
        Condition, typer.Option(help="Give each of these a map of its own, where it has trials enough.")
    ] = Condition.NONE,
    quality: Annotated[
        str | None, typer.Option(help="Let these shift the ratios: duration,snr,level, any of them.")
    ] = None,
    validation: Annotated[
        Path | None, typer.Option(help="Recordings to calibrate on. Default: the run's validation split.")
    ] = None,
    allow_leak: Annotated[
        bool, typer.Option("--allow-leak", help="Go on where the run was trained on some of them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Set how a run decides: likelihood ratios, one decision of speaker and liveness, a threshold with stated risk."""
    from vivavoce.evaluation.calibration.config import CalibrationConfig

    measures = _qualities(quality)
    if measures and method is not Method.LOGISTIC:
        raise UserError("--quality shifts a line, so it does not go with --method isotonic; leave one of them out.")
    config = CalibrationConfig.model_validate(
        {
            "method": method.value,
            "fusion": fusion.value,
            "condition": None if condition is Condition.NONE else condition.value,
            "quality": measures,
            "aim": _aim(far, extrapolate, prior, p_spoof, costs),
        }
    )
    from vivavoce.recalibration import calibrate as run_calibration

    found = run_calibration(run, config, validation, allow_leak=allow_leak)
    emit(found.summary(), as_json, show_calibration)


def show_calibration(found: dict[str, Any]) -> None:
    """Print the threshold, what it does beside what was done before, and how good the ratios are."""
    decision = found["decision"]
    fusion = decision["fusion"] or {}
    if fusion.get("type") == "rule":
        words = f"speaker {fusion['speaker']:.2f} nats and liveness {fusion['liveness']:.2f} nats"
    else:
        words = f"{decision['threshold']:.2f} nats"
    out.print(f"Accepted from [bold]{words}[/] on", highlight=False)
    out.print(_risk_table(found["before"], decision))
    out.print(_cllr_table(found["cllr"]))
    for note in found["notes"]:
        out.print(f"[yellow]Note:[/] {note}", highlight=False, soft_wrap=True)
    out.print(f"The calibration before is in {found['kept']}", highlight=False, soft_wrap=True)


def _risk_table(before: dict[str, Any], decision: dict[str, Any]) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Column, Table

    columns = (Column("On validation trials", no_wrap=True), "Before", "Now")
    table = Table(*columns, box=SIMPLE, show_edge=False, padding=(0, 1, 0, 0))
    old, new = _rates(before["risk"]), _rates(decision["risk"])
    for name, rate in new.items():
        table.add_row(name, _rate(old.get(name)), _rate(rate))
    for question, risk in decision["risk"]["questions"].items():
        table.add_row(f"by {question} alone: refused", "", _rate(risk["miss"]))
        table.add_row(f"by {question} alone: let pass", "", _rate(risk["false_accept"]))
    costs = before["optimum"], decision["optimum"]
    table.add_row("cost", *(f"{one['cost']:.3f}" for one in costs))
    table.add_row("least cost, at what", *(f"{one['least']:.3f} at {one['threshold']:.2f} nats" for one in costs))
    return table


def _cllr_table(found: dict[str, Any]) -> "Table":
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table("Cllr, bits", "Before", "Now", "On people held out", "Least", box=SIMPLE, show_edge=False)
    for name, cllr in found.items():
        values = (cllr[key] for key in ("before", "after", "held_out", "least"))
        table.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    return table


def _aim(far: float | None, extrapolate: bool, prior: float | None, p_spoof: float | None, costs: str | None) -> "Aim":
    from vivavoce.evaluation.calibration.decision import CostAim, FalseAcceptAim
    from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5

    if far is None:
        if extrapolate:
            raise UserError("--extrapolate goes with --far; give the false-accept rate, or leave it out.")
        return CostAim(costs=_costs(prior, p_spoof, costs))
    if prior is not None or p_spoof is not None or costs is not None:
        raise UserError("--far and --prior, --p-spoof or --costs set the threshold in two ways; give one of them.")
    if not 0 < far < 0.5:
        raise UserError(f"--far {far:g} is no false-accept rate to aim at; give one between 0 and 0.5, such as 0.001.")
    return FalseAcceptAim(rate=far, extrapolate=extrapolate, costs=ASVSPOOF5)


def _costs(prior: float | None, p_spoof: float | None, costs: str | None) -> "Any":
    from vivavoce.evaluation.metrics.spoofing import ASVSPOOF5, ADcfCosts

    target = ASVSPOOF5.p_target if prior is None else prior
    # Of what is left, attacks and other speakers share evenly where only the user's prior is given.
    spoof = p_spoof if p_spoof is not None else ASVSPOOF5.p_spoof if prior is None else (1 - target) / 2
    other = 1 - target - spoof
    if not (0 < target < 1 and spoof > 0 and other > 1e-12):
        raise UserError(
            f"--prior {target:g} and --p-spoof {spoof:g} leave nothing for other speakers, or are no shares; give two "
            "numbers above 0 whose sum is below 1."
        )
    weights = ASVSPOOF5.c_miss, ASVSPOOF5.c_fa_nontarget, ASVSPOOF5.c_fa_spoof
    if costs is not None:
        weights = _three(costs)
    miss, accept, let_in = weights
    return ADcfCosts(
        p_target=target, p_nontarget=other, p_spoof=spoof, c_miss=miss, c_fa_nontarget=accept, c_fa_spoof=let_in
    )


def _three(text: str) -> tuple[float, float, float]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or not all(0 < value < float("inf") for value in values):
        raise UserError(f"--costs {text!r} is not three numbers above 0; write them as 1,10,10.")
    return values


def _qualities(text: str | None) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()] if text else []
    unknown = [name for name in names if name not in QUALITIES]
    if unknown:
        raise UserError(f"--quality {unknown[0]!r} is no measure of a recording; use {', '.join(QUALITIES)}.")
    return [QUALITIES[name] for name in dict.fromkeys(names)]


def _rates(risk: dict[str, Any]) -> dict[str, Any]:
    named = {
        "user refused": risk["miss"],
        "other speakers accepted": risk["speakers"],
        "attacks accepted": risk["attacks"],
    }
    species = {f"  {kind}": rate for kind, rate in risk["species"].items()}
    return {name: rate for name, rate in (named | species).items() if rate is not None}


def _rate(rate: dict[str, Any] | None) -> str:
    from vivavoce.evaluation.measures import LEAST_TRIALS

    if rate is None:
        return ""
    bounds = f"{100 * rate['low']:.1f}–{100 * rate['high']:.1f}"
    if rate["trials"] < LEAST_TRIALS:
        return f"few: {bounds} %, n = {rate['trials']}"
    return f"{100 * rate['rate']:.1f} % ({bounds}, n = {rate['trials']})"
