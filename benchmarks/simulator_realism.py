"""How real the simulator is: its figures beside published ones, and measured recordings through the same code.

Run from the repository root: ``python benchmarks/simulator_realism.py``; needs the recordings in ``../shared/data``.
Prints one table and writes ``benchmarks/results/simulator_realism.json``.
"""

import argparse
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from vivavoce.files import write_json

HERE = Path(__file__).resolve().parent
PARTS = ("realism_articulation", "realism_echo")  # modules beside this one with ``figures(data) -> list of rows``


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data", help="folder of recordings")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "simulator_realism.json")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.exit(f"There are no recordings in {arguments.data}; give their folder by --data.")
    sys.path.insert(0, str(HERE))
    rows = [
        row
        for part in PARTS
        if importlib.util.find_spec(part)
        for row in importlib.import_module(part).figures(arguments.data)
    ]
    show(rows)
    write_json(arguments.out, {"figures": rows})


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(title="Simulator against the world")
    for column in ("figure", "unit", "ours", "published", "inside", "source"):
        table.add_column(column, justify="right" if column == "ours" else "left")
    for row in rows:
        inside = "yes" if row["inside"] else f"no: {row.get('why', '')}"
        table.add_row(row["figure"], row["unit"], f"{row['ours']:.3g}", str(row["published"]), inside, row["source"])
    Console(width=None if sys.stdout.isatty() else 200).print(table)


if __name__ == "__main__":
    main()
