"""Tables of the work on a GPU server: ways to connect, files, the start of a job."""

from collections.abc import Callable

from tables import LINE, Result, answered, table


def ssh_clients(result: Result) -> str:
    """Milliseconds of a command by each client, and what each honours of a user's SSH."""
    columns = {"first": "First command", "later": "Later ones", "next process": "First of the next process"}
    rows = [
        [link, f"{client} {version}".strip(), *(f"{times[column]:.0f}" for column in columns)]
        for link, clients in result["ms"].items()
        for client, times in clients.items()
        for version in [result["versions"].get(client, "")]
    ]
    clients = list(next(iter(result["features"].values())))
    honoured = [[name, *(said[client] for client in clients)] for name, said in result["features"].items()]
    return LINE.join(
        [
            f"Milliseconds, median of {result['rounds']} rounds; OpenSSH {result['versions']['OpenSSH']}.",
            "",
            table(["Link", "Client", *columns.values()], rows),
            "",
            table(["Honoured", *clients], honoured),
        ]
    )


def push_speed(result: Result) -> str:
    """Seconds of ten thousand small files, ours and plain rsync's."""
    ways = list(next(iter(result["sizes"].values()))["median, s"])
    rows = [
        [
            f"{int(size):,}".replace(",", " "),
            *(f"{figures['median, s'][way]:.2f}" for way in ways),
            f"{figures['ratio']:.2f} ({answered(figures['ratio'] >= result['asked'])})",
        ]
        for size, figures in result["sizes"].items()
    ]
    files = f"{result['files']:,}".replace(",", " ")
    header = ["Bytes of each file", *(f"`{way}`, s" for way in ways), f"Speed of ours (asked: {result['asked']:g})"]
    return LINE.join([f"{files} files, median of {result['rounds']} rounds.", "", table(header, rows)])


def server_run(result: Result) -> str:
    """Seconds until the prompt is back."""
    rows = []
    for command, seconds in result["seconds"].items():
        met = f" (asked: {result['asked_s']:g}, {answered(seconds['median'] <= result['asked_s'])})"
        named = command + met * command.startswith("server run")
        rows.append([named, *(f"{seconds[figure]:.2f}" for figure in ("median", "least", "most"))])
    return table(["Command", "Seconds (median)", "Least", "Most"], rows)


SERVER: dict[str, tuple[str, Callable[[Result], str]]] = {
    name: (f"{name}.json", make)
    for name, make in {"ssh_clients": ssh_clients, "push_speed": push_speed, "server_run": server_run}.items()
}
