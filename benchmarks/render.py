"""Rewrite the marked tables of docs/*.md from benchmarks/results/*.json, so that no figure is typed by hand.

    python benchmarks/render.py [--check]

A table stands between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``; `PAGES` says what fills it. Where a result
is missing nothing stands between the two.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

from tables import LINE, Result, answered, percent, power, table
from tables_abstention import abstention_reasons, abstention_sway
from tables_data import audit_scale, memory, near_copies, offline_online, online_path, planted_faults
from tables_diagnosis import DIAGNOSIS, VERDICTS
from tables_evaluation import EVALUATION
from tables_liveness import LIVENESS
from tables_server import SERVER
from tables_shortcuts import shortcut_sidebands, shortcuts
from tables_training import TRAINING
from tables_ultrasense import ultrasense, ultrasense_claims
from tables_weights import peer_parity
from vivavoce.files import write_text

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
RESULTS = HERE / "results"
MARKED = re.compile(r"<!-- begin (?P<name>\w+) -->\n.*?<!-- end (?P=name) -->", re.DOTALL)
# Groups of the realism table; what its figures are named is up to the scripts beside this one.
MEASURED_ROWS = ("emu_", "real phone")
FITTED = "Simulated, with a published range"
MEASURED = "Measured people and phones through the same code, with a published range"
CIRCULAR = "Drawn from the published range, or one number chosen to meet it"
OWN = "No published figure, our own bound"
GROUPS = (FITTED, MEASURED, CIRCULAR, OWN)


def render(page: str, results: Path = RESULTS, sections: "Sections | None" = None) -> str:
    """Return ``page`` with every marked table made anew from the results; ``sections``: `SECTIONS`.

    Raises:
        ValueError: the page lacks the place of a table, has one twice, or has one that is not known.
    """
    sections = SECTIONS if sections is None else sections
    names = [match["name"] for match in MARKED.finditer(page)]
    if sorted(names) != sorted(sections):
        raise ValueError(f"the page has places for {sorted(names)}, but there are tables {sorted(sections)}")

    def fill(match: re.Match[str]) -> str:
        name = match["name"]
        file, make = sections[name]
        path = results / file
        body = f"\n{make(json.loads(path.read_text(encoding='utf-8')))}\n\n" if path.is_file() else ""
        return f"<!-- begin {name} -->\n{body}<!-- end {name} -->"

    return MARKED.sub(fill, page)


def frontends_agreement(result: Result) -> str:
    """Distance from kaldi-native-fbank."""
    rows = []
    for row in result["agreement"]:
        resolved = row["largest within 80 dB of the peak"]
        rows.append(
            [
                f"{row['front end']}, snip_edges={row['snip_edges']}",
                power(row["median"]),
                f"{power(resolved)} ({'reached' if resolved <= 1e-3 else 'missed'})",
                power(row["largest"]),
                f"{1e6 * row['share above 1e-3']:.0f} in a million",
                power(row["ours − float64"]),
                power(row["Kaldi − float64"]),
            ]
        )
    header = [
        *("Front end", "Median", "Largest within 80 dB of the frame's peak (asked: 1e-3)", "Largest of all"),
        *("Above 1e-3", "Ours from float64, largest", "Kaldi from float64, largest"),
    ]
    return f"On {result['source']}.\n\n{table(header, rows)}"


def frontends_speed(result: Result) -> str:
    """Speed of the front ends and of their peers on one core."""
    rows = []
    for row in result["speed"]:
        name = row["work"]
        # The script indents what computes the same as the line above it.
        rows.append([f"↳ {name.strip()}" if name.startswith(" ") else f"**{name}**", f"{row['x real time']:,}"])
    machine = result["machine"]
    where = f"One core ({machine['processor']}), PyTorch {machine['torch']}. ↳ marks a peer of the line above it."
    return f"{where}\n\n{table(['Work', '× real time'], rows)}"


def simulator_speed(result: Result) -> str:
    """Speed of the simulator."""
    reached = "reached" if result["times_real_time"] >= result["needed"] else "missed"
    rows = [
        [
            f"**all kinds, {result['workers']} processes** (asked: {result['needed']:g} ×)",
            f"{result['times_real_time']:.0f} ({reached})",
        ]
    ]
    rows += [[f"`{kind}`, one core", f"{speed:.0f}"] for kind, speed in result["one_core_by_kind"].items()]
    what = (
        f"{result['recordings']} recordings, {result['audio_s'] / 60:.0f} min of sound, made in "
        f"{result['seconds']:.1f} s; starting the processes and writing the files are counted, alignment is not."
    )
    return f"{what}\n\n{table(['What', '× real time'], rows)}"


def simulator_realism(result: Result) -> str:
    """The simulator beside published figures, counted by what being inside means."""
    figures = result["figures"]
    groups: dict[str, list[Result]] = {}
    for row in figures:
        groups.setdefault(_group(row), []).append(row)
    counts = [
        f"- {name}: {sum(row['inside'] for row in groups[name])} of {len(groups[name])} inside."
        for name in GROUPS
        if name in groups
    ]
    rows = [
        [row["figure"], f"{row['ours']:.3g}", row["unit"], row["published"], _answer(row), row["source"]]
        for row in figures
    ]
    header = ["Figure", "Ours", "Unit", "Published", "Inside", "Source"]
    return f"{LINE.join(counts)}\n\n{table(header, rows)}"


def real_speech(result: Result) -> str:
    """Error rates of unseen speakers on real speech."""
    lines = [f"Corpus `{result['corpus']}`; all recordings with a probe are simulated on it."]
    if result["seconds_data_to_report"] is not None:
        minutes = result["seconds_data_to_report"] / 60
        reached = "reached" if minutes <= 30 else "missed"
        lines.append(
            f"From data to report: {minutes:.1f} min on {result['cores']} cores (asked: 30 min on two; {reached})."
        )
    rows = []
    for row in result["rows"]:
        interval = "–"
        if row["low"] is not None:
            interval = f"{percent(row['low'])} to {percent(row['high'])}, {row.get('method', 'bootstrap by speaker')}"
        counted = (
            f"{row['trials']} target trials" if "trials" in row else f"{row['live']} live, {row['attacks']} attacks"
        )
        rows.append([row["figure"], percent(row["value"]), interval, counted, row["asked"], answered(row["reached"])])
    header = ["Figure", "EER", "95 % interval", "Over", "Asked", "Reached"]
    return f"{' '.join(lines)}\n\n{table(header, rows)}"


def verify_latency(result: Result) -> str:
    """Time of one verification."""
    rows = []
    for name in ("probe known", "probe detected"):
        median, tail = result[name]["median_ms"], result[name]["p95_ms"]
        reached = "reached" if median <= result["asked_ms"] else "missed"
        rows.append([name, f"{median:.0f} ms ({reached})", f"{tail:.0f} ms"])
    what = f"One recording of {result['seconds']:g} s, one thread ({result['machine']})."
    header = ["Tones", f"Median (asked: {result['asked_ms']:g} ms)", "95 % within"]
    return f"{what}\n\n{table(header, rows)}"


Sections = dict[str, tuple[str, Callable[[Result], str]]]
SECTIONS: Sections = {
    "frontends_agreement": ("frontends.json", frontends_agreement),
    "frontends_speed": ("frontends.json", frontends_speed),
    "simulator_speed": ("simulator_speed.json", simulator_speed),
    "simulator_realism": ("simulator_realism.json", simulator_realism),
    "abstention_reasons": ("abstention.json", abstention_reasons),
    "abstention_sway": ("abstention.json", abstention_sway),
    "ultrasense": ("ultrasense.json", ultrasense),
    "ultrasense_claims": ("ultrasense.json", ultrasense_claims),
    "real_speech": ("real_speech.json", real_speech),
    **LIVENESS,
    "shortcuts": ("shortcuts.json", shortcuts),
    "shortcut_sidebands": ("shortcuts.json", shortcut_sidebands),
    "verify_latency": ("verify_latency.json", verify_latency),
    "audit_scale": ("audit_scale.json", audit_scale),
    "planted_faults": ("planted_faults.json", planted_faults),
    "near_copies": ("planted_faults.json", near_copies),
    "online_path": ("online_path.json", online_path),
    "offline_online": ("offline_online.json", offline_online),
    "memory": ("memory.json", memory),
    **TRAINING,
    "peer_parity": ("peer_parity.json", peer_parity),
    **DIAGNOSIS,
    **EVALUATION,
    **SERVER,
}
PAGES: dict[str, Sections] = {"benchmarks.md": SECTIONS, "diagnosis.md": VERDICTS}


def _group(row: Result) -> str:
    """Say what being inside means for a figure of the realism table."""
    if row["published"].startswith("none (own bound"):
        return OWN
    if row["figure"].startswith(MEASURED_ROWS):
        return MEASURED
    return CIRCULAR if "drawn from it)" in row["figure"] or "chosen for it)" in row["figure"] else FITTED


def _answer(row: Result) -> str:
    if row["inside"]:
        return "yes"
    return f"**no**: {row['why']}" if row.get("why") else "**no**"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 where the page is out of date")
    parser.add_argument("--page", type=Path, nargs="+", default=[DOCS / name for name in PAGES])
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    outdated = []
    for path in arguments.page:
        old = path.read_text(encoding="utf-8")
        new = render(old, arguments.results, PAGES.get(path.name))
        if not arguments.check:
            write_text(path, new)
        elif new != old:
            outdated.append(str(path))
    if arguments.check:
        sys.exit(f"{' and '.join(outdated)}: out of date; run python benchmarks/render.py." if outdated else 0)


if __name__ == "__main__":
    main()
