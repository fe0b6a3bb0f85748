"""Run every benchmark (or those named) and write one JSON file beside a table.

python -m benchmarks                       all, table only
python -m benchmarks transport align       only these
python -m benchmarks --json bench.json     all, and the file
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent


def main() -> None:
    subjects = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("subjects", nargs="*", metavar="SUBJECT", help=f"of: {', '.join(subjects)} (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the rows there")
    chosen = parser.parse_args()
    unknown = set(chosen.subjects) - set(subjects)
    if unknown:
        parser.error(f"no benchmark {sorted(unknown)}; there are {', '.join(subjects)}")

    console = Console()
    rows: list[dict[str, Any]] = []
    for subject in chosen.subjects or subjects:
        console.print(f"[bold]{subject}[/bold] …")
        rows += [{"subject": subject, **row} for row in importlib.import_module(f"benchmarks.bench_{subject}").run()]
    console.print(table(rows))
    if chosen.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": psutil.cpu_count(logical=True)}
        chosen.json.write_text(
            json.dumps({"machine": machine, "python": platform.python_version(), "rows": rows}, indent=1)
        )
        console.print(f"wrote {chosen.json}")


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows as people read them."""
    out = Table(box=None)
    for column, justify in (("subject", "left"), ("name", "left"), ("value", "right"), ("unit", "left")):
        out.add_column(column, justify=justify)  # type: ignore[arg-type]
    for column in ("limit", "ratio"):
        out.add_column(column, justify="right")
    out.add_column("limit is")
    for row in rows:
        limit, ratio = row.get("limit"), row.get("ratio")
        out.add_row(
            row["subject"],
            row["name"],
            f"{row['value']:,.4g}",
            row["unit"],
            "" if limit is None else f"{limit:,.4g}",
            "" if ratio is None else f"{ratio:.3g}",
            row.get("limit_name") or "",
        )
    return out


if __name__ == "__main__":
    main()
