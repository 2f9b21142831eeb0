"""Tables of the data room's figures: audit, planted faults, features offline and online."""

from tables import LINE, Result, answered, least, most, percent, table


def audit_scale(result: Result) -> str:
    """Time and memory of the audit."""
    asked, whole = result["targets"], result["metadata"]
    rows = [
        [
            f"metadata checks of {whole['rows']:,} rows",
            f"{whole['seconds']:.1f} s",
            *most(whole["seconds"], asked["seconds"], "s"),
        ],
        ["… peak memory of the process", f"{whole['MiB']:.0f} MiB", *most(whole["MiB"], asked["MiB"], "MiB")],
    ]
    for row in result["sound"]:
        what = f"whole audit of {row['corpus']} ({row['hours']:.2f} h), one core"
        rows.append([what, f"{row['x real time']} × real time", *least(row["x real time"], asked["x real time"], "×")])
        again = f"… again, from what was measured, {row['state, bytes a recording']:,} bytes a recording"
        rows.append([again, f"{row['seconds again']:.1f} s", "–", "–"])
    return table(["What", "Seen", "Asked", "Reached"], rows)


def planted_faults(result: Result) -> str:
    """Faults planted and found, and clean recordings accused."""
    summary = result["summary"]
    alone, across, corpora = summary["one manifest"], summary["two manifests"], summary["confounds"]
    rows = [
        [f"{row['fault']}", f"`{row['check']}`", str(row["planted"]), str(row["found"])] for row in result["faults"]
    ]
    accused = ", ".join(f"{name} {len(ids)}" for name, ids in sorted(alone["accused"].items())) or "none"
    lines = [
        f"- Found: {summary['found']} of {summary['planted']}, {percent(summary['recall'])} "
        f"(asked: 99 %; {'reached' if summary['recall'] >= 0.99 else 'missed'}); "
        f"of the fault found least often {percent(summary['lowest recall of a fault'])}.",
        f"- Clean recordings accused: {summary['clean recordings accused']} of {summary['clean recordings']}, "
        f"{percent(summary['false alarms'])} (asked: at most 1 %; "
        f"{'reached' if summary['false alarms'] <= 0.01 else 'missed'}), by check: {accused}.",
        f"- Two clean manifests: {sum(map(len, across['accused'].values()))} of {across['clean']} recordings accused.",
        f"- Corpora without a confound: {len(corpora['confounds named there'])} confounds named in "
        f"{corpora['corpora without']} corpora.",
    ]
    return f"{LINE.join(lines)}\n\n{table(['Fault', 'Check', 'Planted', 'Found'], rows)}"


def near_copies(result: Result) -> str:
    """Similarity of fingerprints of copies and of other takes."""
    alike = result["summary"]["similarity"]
    rows = [
        [f"copy: {how}", str(row["planted"]), str(row["found"]), *(f"{row[name]:.3f}" for name in ("least", "median"))]
        for how, row in alike["copies"].items()
    ]
    others = alike["other recordings that share a key"]
    rows += [
        [f"no copy: {what}", str(row["pairs"]), "–", f"largest {row['largest']:.3f}", f"{row['median']:.3f}"]
        for what, row in others.items()
    ]
    header = ["Pair", "Pairs", "Compared", "Least similar", "Median"]
    speed = f"{alike['fingerprint, × real time']:,} × real time on one core, {alike['bytes a second']} bytes a second"
    return f"The fingerprint: {speed}.\n\n{table(header, rows)}"


def online_path(result: Result) -> str:
    """Speed from sound files to features, ours and peers', on one core."""
    asked, rows = result["asked"], []
    for row in result["speed"]:
        target = asked.get(row["features"]) if row["by"] == "vivavoce" else None
        goal = least(row["x real time"], target, "×") if target else ["–", "–"]
        by = f"**{row['by']}**" if row["by"] == "vivavoce" else row["by"]
        rows.append([row["features"], by, f"{row['x real time']:,}", *goal])
    times = [
        [name, f"{value:.1f}", *(least(value, asked["peer"], "×"))] for name, value in result["times as fast"].items()
    ]
    machine, peers = result["machine"], ", ".join(f"{name} {version}" for name, version in result["peers"].items())
    where = (
        f"{result['files']} recordings of {result['seconds a file']:g} s at 48 kHz, batches of {result['batch']}, "
        f"one core ({machine['processor']}), PyTorch {machine['torch']}, {peers}."
    )
    tables = [
        table(["Features", "By", "× real time", "Asked", "Reached"], rows),
        table(["Ours against theirs", "Times as fast", "Asked", "Reached"], times),
    ]
    return "\n\n".join([where, *tables])


def offline_online(result: Result) -> str:
    """Cost and error rates of features kept and features computed anew."""
    data = result["data"]
    what = (
        f"{data['recordings']} training recordings ({data['hours']:.2f} h, simulated on `{data['corpus']}`), "
        f"{result['epochs']} epochs of the same steps, {result['copies']} copies offline, "
        f"{result['machine']['cores']} cores."
    )
    units = {
        "extraction s": "s",
        "disk MB": "MB",
        "data s an epoch": "s",
        "training s an epoch": "s",
        "training s in all": "s",
    }
    rows = []
    for name in result["ways"][0]:
        if name == "mode":
            continue
        values = [way[name] for way in result["ways"]]
        label = name.replace(" s ", " ").removesuffix(" s").removesuffix(" MB")
        rows.append([label, *(f"{v:,.1f} {units[name]}" if name in units else percent(v) for v in values)])
    header = ["", *(way["mode"] for way in result["ways"])]
    targets = [
        [row["figure"], f"{row['value']:.3g}", row["asked"], answered(row["reached"])] for row in result["targets"]
    ]
    return "\n\n".join([what, table(header, rows), table(["Figure", "Seen", "Asked", "Reached"], targets)])


def memory(result: Result) -> str:
    """Resident memory over an epoch of online training."""
    rows = [
        [
            row["process"],
            f"{row['MiB at first']:.0f} MiB",
            f"{row['MiB at last']:.0f} MiB",
            f"{row['MiB / 1000 batches']:.2f}",
            f"{row['asked']} MiB",
            answered(row["reached"]),
        ]
        for row in result["rows"]
    ]
    what = f"{result['steps']} batches with two workers, the first {result['warm_up']} not counted."
    header = ["Process", "At first", "At last", "MiB a 1000 batches", "Asked", "Reached"]
    return f"{what}\n\n{table(header, rows)}"
