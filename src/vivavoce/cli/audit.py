"""`vivavoce audit`: what is wrong with a corpus, before a GPU-hour is spent on it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vivavoce.cli.output import JsonOption, emit, out

if TYPE_CHECKING:
    from vivavoce.audit.embeddings import Embed

COLOURS = {"error": "red", "warning": "yellow", "note": "blue"}


def audit(
    manifest: Annotated[Path | None, typer.Argument(help="The manifest to audit.", show_default=False)] = None,
    against: Annotated[
        Path | None, typer.Option(help="A manifest that must share nothing with it, such as the test split.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the findings as one HTML file.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="File of measurements, reused. Default: beside the manifest, *.audit.sqlite.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A trained run; its embeddings find labels on another's voice.")
    ] = None,
    metadata_only: Annotated[bool, typer.Option("--metadata-only", help="Read no sound, the manifests alone.")] = False,
    config: Annotated[Path | None, typer.Option(help="Thresholds, as YAML.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override one threshold, or skip=[CHECK,...]; repeatable."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes. Default: all cores.")] = None,
    show: Annotated[int, typer.Option(min=0, help="Files to print of each finding; --json and --html have more.")] = 3,
    list_checks: Annotated[bool, typer.Option("--list", help="List the checks and exit.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Look for everything that is wrong with a corpus: files, sound, probe, copies, labels, balance, confounds.

    Exit code: 0 nothing of severity error was found, 1 errors were found, 2 the command was misused.
    """
    from vivavoce.errors import UserError

    if list_checks:
        emit(_checks(), as_json, _show_checks)
        return
    if manifest is None:
        raise UserError("No manifest to audit was given; name one, or list the checks with --list.")
    if run is not None and metadata_only:
        raise UserError("--run listens to the recordings and --metadata-only reads none; give one of them.")

    from vivavoce.audit.audit import audit as audit_manifest
    from vivavoce.audit.config import AuditConfig
    from vivavoce.audit.report import write_report
    from vivavoce.settings import load_settings

    settings = load_settings(AuditConfig, config, overrides or [])
    embed, model = _embedder(run) if run is not None else (None, "")
    result = audit_manifest(
        manifest,
        against,
        state=state,
        workers=workers or _cores(),
        config=settings,
        metadata_only=metadata_only,
        embed=embed,
        model=model,
    )
    with result:
        if html is not None:
            write_report(result, html)
        document = result.to_dict() if as_json else {}
        emit(document, as_json, lambda _: _show(result, show))
        if html is not None and not as_json:
            out.print(f"The findings as a page: {html}", highlight=False, markup=False, soft_wrap=True)
    if not result.clean:
        raise typer.Exit(1)


def _cores() -> int:
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _embedder(path: Path) -> "tuple[Embed, str]":
    """Voice embeddings by a run's model, and a name that changes with its weights."""
    import hashlib

    import numpy as np
    import torch

    from vivavoce.features.front_end import batch_features, read_wave
    from vivavoce.verifier import load_run

    loaded = load_run(path)
    digest = hashlib.sha256(loaded.folder.best_weights.read_bytes() + loaded.folder.config.read_bytes()).hexdigest()

    def embed(rows: Any) -> np.ndarray:
        waves = [read_wave(row) for row in rows]
        with torch.inference_mode():
            voices = [voice for voice, _ in batch_features(loaded.front_end, waves)]
            return np.stack([loaded.model.embed(voice[None].to(loaded.model.device))[0].cpu() for voice in voices])

    return embed, digest[:16]


def _checks() -> list[dict[str, str]]:
    import vivavoce.audit.checks  # noqa: F401 - fills the registry
    from vivavoce.audit.registry import Needs, chosen_checks

    return [
        {
            "check": entry.name,
            "severity": entry.severity.value,
            "reads": entry.needs.value,
            "looks_for": entry.looks_for,
            "mend": entry.mend,
        }
        for entry in chosen_checks((), set(Needs))
    ]


def _show_checks(checks: list[dict[str, str]]) -> None:
    from rich.table import Table

    table = Table("Check", "Severity", "Reads", "Looks for")
    for entry in checks:
        colour = COLOURS[entry["severity"]]
        table.add_row(entry["check"], f"[{colour}]{entry['severity']}[/]", entry["reads"], entry["looks_for"])
    out.print(table)


def _show(result: Any, most: int) -> None:
    from vivavoce.audit.report import file_line

    def line(text: str, style: str = "") -> None:
        out.print(text, style=style, markup=False, highlight=False, soft_wrap=True)

    for finding in result.findings:
        severity = finding.severity.value
        out.print(f"[bold {COLOURS[severity]}]{severity}[/] [bold]{finding.check}[/]", highlight=False)
        line(f"  {finding.what}")
        if finding.check != "counts":
            line(f"  → {finding.mend}", "dim")
        for file in finding.files[:most]:
            line(f"    {file_line(file, finding.unit)}")
        if len(finding.files) > most:
            line(f"    and {len(finding.files) - most} more")
    counts = ", ".join(f"{count} {name}{'' if count == 1 else 's'}" for name, count in result.counts.items())
    line(f"{len(result.checks)} checks of {result.recordings} recordings, {result.hours:.2f} h: {counts}.", "bold")
