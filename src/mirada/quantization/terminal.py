"""What the quantize stage tells people in the terminal."""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from mirada.boards.asking import BoardJudge, board_table
from mirada.inference.variants import choose_variant
from mirada.quantization.budget import Ladder
from mirada.quantization.verdict import WITHIN
from mirada.tables import ms_text, signed_text


def print_variants(variants: list[dict[str, Any]]) -> None:
    """A row a variant: its size, and how long it took to make."""
    base = next(variant["size_bytes"] for variant in variants if variant["name"] == "float32")
    table = Table("variant", "size MB", "of float32", "after gzip", "conversion s", title="quantize")
    for variant in variants:
        size, name = variant["size_bytes"], variant["name"] + (f" ({variant['rung']})" if "rung" in variant else "")
        packed = f"{variant['size_gzip_bytes'] / 1e6:.2f}"
        table.add_row(name, f"{size / 1e6:.2f}", f"{size / base:.2f}", packed, f"{variant['conversion_s']:.1f}")
    Console().print(table)


def print_ladder(ladder: Ladder) -> None:
    """A row a rung, then what came of it."""
    title = f"ladder: {ladder.metric} on {ladder.images} val images, may drop by {ladder.max_drop:g}"
    table = Table(title=title, box=SIMPLE, pad_edge=False, collapse_padding=True)
    table.add_column("rung", overflow="fold")
    widths = {"val": 5, "drop": 6, "95 % interval": 13, "MB": 5, "p50 ms": 6, "× time": 6, "min": 4, "float": 5}
    for heading, width in widths.items():
        table.add_column(heading, min_width=width, no_wrap=True)
    for rung in ladder.rungs:
        mark = "✓" if rung.answer == WITHIN else "(best)"
        name = f"{rung.rung} {mark}" if rung.rung == ladder.best else rung.rung
        drop = (signed_text(rung.drop), f"{signed_text(rung.drop_low)} {signed_text(rung.drop_high)}")
        cost = (f"{rung.size_bytes / 1e6:.2f}", ms_text(rung.latency_ms_p50), f"{rung.latency_ratio:.2f}")
        table.add_row(name, f"{rung.value:.3f}", *drop, *cost, f"{rung.minutes:.1f}", str(len(rung.float_layers)))
    Console().print(table)
    for note in (*ladder.skipped, ladder.sentence()):
        print(f"ladder: {note}", flush=True)


def print_board(board: BoardJudge, variants: list[dict[str, Any]]) -> None:
    """A row a variant: what it takes of the device; then a sentence on the one that is meant for it."""
    records = {entry["name"]: entry["board"] for entry in variants}
    board_table(records).show(f"on {board.board.title}")
    chosen = choose_variant(list(records))
    print(f"device: {chosen}: {records[chosen]['sentence']}", flush=True)
