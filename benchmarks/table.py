"""All figures of the last benchmarks in one table, e.g. `python benchmarks/table.py --strict`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from figures import HOLDS, RESULTS, Figure, show


def read_results(folder: Path) -> list[dict[str, Any]]:
    """The JSONs that benchmarks wrote, by name; files of another kind are left out."""
    found = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    return [content for content in found if isinstance(content, dict) and "figures" in content]


def rows_of(result: dict[str, Any]) -> list[tuple[Figure, list[str]]]:
    """Each figure of a benchmark with its row of the table."""
    rows = []
    for entry in result["figures"]:
        one = Figure(**{key: value for key, value in entry.items() if key != "holds"})
        goal = "" if one.goal is None else f"{'≤' if one.lower else '≥'} {show(one.goal)}"
        limit = "" if one.limit is None else show(one.limit)
        near = "" if one.near is None else f"{one.near:.0%}"
        value = f"{show(one.value)} {one.unit}"
        rows.append((one, [result["benchmark"], one.name, value, goal, HOLDS[one.holds], limit, near]))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--strict", action="store_true", help="exit with 1 where a goal is missed")
    arguments = parser.parse_args()
    results = read_results(arguments.results)
    if not results:
        sys.exit(f"error: {arguments.results} holds no result: run make bench first.")
    from rich.console import Console
    from rich.table import Table

    table = Table(title="benchmarks", pad_edge=False)
    for heading in ("benchmark", "figure", "value", "goal", "", "limit", "of limit"):
        table.add_column(heading, justify="right" if heading in ("value", "goal", "limit", "of limit") else "left")
    figures = []
    for result in results:
        for one, row in rows_of(result):
            figures.append(one)
            table.add_row(*row, style="red" if one.holds is False else None)
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 150).print(table)
    last = results[-1]["machine"]
    print(f"{last['cpu']}, {last['cores']} cores, {last['system']}, Python {last['python']}")
    for result in results:
        if gpus := result["machine"].get("gpus"):
            print(f"{result['benchmark']}: {', '.join(gpus)}")
    missed = [one for one in figures if one.holds is False]
    with_goal = [one for one in figures if one.goal is not None]
    print(
        f"{len(with_goal) - len(missed)} of {len(with_goal)} goals hold; {sum(r['seconds'] for r in results):.0f} s in all"
    )
    if arguments.strict and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
