"""Everything that is told of a file, as `findings.json` and as one page."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mirada.files import write_whole
from mirada.pages import data_url, render
from mirada.quantization.evidence import LayerEvidence
from mirada.quantization.foreign.drops import drop_findings
from mirada.quantization.foreign.finding import SEVERITIES, Finding, sorted_findings
from mirada.quantization.foreign.interface import Share, interface_findings, sizes_of
from mirada.quantization.foreign.network import Network, Tensor
from mirada.quantization.foreign.outputs import output_findings
from mirada.quantization.foreign.precision import Precision, precision_findings, precision_of
from mirada.quantization.foreign.scales import scale_findings
from mirada.quantization.foreign.verdicts import RUNS, Verdict, verdict_findings
from mirada.quantization.layer_plot import plot_layers
from mirada.tables import Table

TEMPLATE = Path(__file__).with_name("check_tflite.html.j2")
FORMAT = 1  # of findings.json


@dataclass(frozen=True)
class Check:
    """A file that was checked.

    Attributes:
        network: as it was read. precision: what it computes in. shares: what takes its bytes.
        verdicts: of runtimes. findings: the gravest first.
        layers: error by layer, empty where there was no twin. measured_on: what the layers were measured with.
    """

    network: Network
    precision: Precision
    shares: list[Share]
    verdicts: list[Verdict]
    findings: list[Finding]
    layers: list[LayerEvidence] = field(default_factory=list)
    measured_on: str = ""


def check(
    network: Network, verdicts: Sequence[Verdict], layers: Sequence[LayerEvidence] = (), measured_on: str = ""
) -> Check:
    """Judge a file that was read, with what runtimes said of it and what was measured of its layers."""
    precision = precision_of(network)
    runs = any(verdict.runtime == "LiteRT" and verdict.answer == RUNS for verdict in verdicts)
    foreign = any(step.custom for graph in network.graphs for step in graph.steps)
    resizable = any(side < 0 for index in network.main.inputs for side in network.main.tensors[index].signature)
    findings = [
        *scale_findings(network),
        *output_findings(network),
        *precision_findings(network, precision, runs),
        *verdict_findings(list(verdicts), precision, foreign, resizable),
        *drop_findings(layers),
        *interface_findings(network, precision),
    ]
    shares = sizes_of(network, precision)
    return Check(network, precision, shares, list(verdicts), sorted_findings(findings), list(layers), measured_on)


def write_check(checked: Check, folder: Path) -> None:
    """Write `findings.json` and `index.html`, each whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(as_json(checked), indent=2, ensure_ascii=False, default=float)
    write_whole(folder / "findings.json", content + "\n")
    write_whole(folder / "index.html", page(checked))


def as_json(checked: Check) -> dict[str, Any]:
    """What `findings.json` holds; a number that is none, such as a scale of NaN, is text."""
    network, graph = checked.network, checked.network.main
    return {
        "format": FORMAT,
        "file": network.path.name,
        "sha256": hashlib.sha256(network.path.read_bytes()).hexdigest(),
        "size_bytes": network.size_bytes,
        "kind": checked.precision.kind,
        "whole": checked.precision.is_whole,
        "sentence": checked.precision.sentence,
        "operators": len(graph.steps),
        "integer_operators": checked.precision.integers,
        "float_operators": checked.precision.floats,
        "islands": len(checked.precision.islands),
        "inputs": [_end(graph.tensors[i]) for i in graph.inputs],
        "outputs": [_end(graph.tensors[i]) for i in graph.outputs],
        "counts": {s: sum(f.severity == s for f in checked.findings) for s in reversed(SEVERITIES)},
        "findings": [finding.as_dict() for finding in checked.findings],
        "verdicts": [asdict(verdict) for verdict in checked.verdicts],
        "sizes": [asdict(share) for share in checked.shares],
        "layers": [asdict(row) for row in checked.layers],
    }


def _end(tensor: Tensor) -> dict[str, Any]:
    one = tensor.is_quantized and len(tensor.scales) == 1
    scale = float(tensor.scales[0]) if one else None
    return {
        "name": tensor.name,
        "dtype": tensor.dtype.lower(),
        "shape": list(tensor.signature),
        "scale": scale if scale is None or np.isfinite(scale) else str(scale),
        "zero_point": int(tensor.zero_points[0]) if one and len(tensor.zero_points) else None,
    }


def page(checked: Check) -> str:
    """The page, which needs nothing but itself."""
    network = checked.network
    plot = None
    if checked.layers:
        plot = {name: data_url(plot_layers(checked.layers, dark=name == "dark")) for name in ("light", "dark")}
    return render(
        TEMPLATE,
        name=network.path.name,
        sentence=checked.precision.sentence,
        good=checked.precision.is_whole and all(f.severity == "note" for f in checked.findings),
        counts=[(s, sum(f.severity == s for f in checked.findings)) for s in reversed(SEVERITIES)],
        findings=checked.findings,
        verdicts=checked.verdicts,
        ends=_ends_table(checked),
        sizes=_sizes_table(checked),
        floats=_floats_table(checked),
        plot=plot,
        measured_on=checked.measured_on,
        about=_about(checked),
    )


def _ends_table(checked: Check) -> Table:
    graph = checked.network.main
    rows = []
    for what, indices in (("input", graph.inputs), ("output", graph.outputs)):
        for index in indices:
            end = _end(graph.tensors[index])
            shape = " × ".join("?" if side < 0 else str(side) for side in end["shape"]) or "one number"
            grid = (
                "–"
                if end["scale"] is None
                else f"{end['scale']:.6g}"
                if isinstance(end["scale"], float)
                else end["scale"]
            )
            rows.append([graph.tensors[index].label, what, end["dtype"], shape, grid, _text(end["zero_point"])])
    return Table(["name", "", "type", "shape", "scale", "zero point"], rows)


def _text(value: object) -> str:
    return "–" if value is None else str(value)


def _sizes_table(checked: Check) -> Table:
    whole = max(checked.network.size_bytes, 1)
    rows = [
        [share.kind or "the rest", str(share.count) if share.kind else "", share.computes,
         f"{share.size_bytes:,}".replace(",", " "), f"{share.size_bytes / whole:.1%}"]
        for share in checked.shares
    ]  # fmt: skip
    return Table(["operator", "count", "computes in", "bytes", "share"], rows)


def _floats_table(checked: Check) -> Table:
    """The float operators of a file that is quantized in part, each with its reason."""
    graph, precision = checked.network.main, checked.precision
    if not precision.integers:
        return Table([], [])
    steps = [(graph.steps[place], reason) for place, reason in precision.reasons.items()]
    rows = [
        [step.name, graph.tensors[step.outputs[0]].label if step.outputs else "–", reason] for step, reason in steps
    ]
    return Table(["operator", "output", "why"], rows)


def _about(checked: Check) -> list[tuple[str, str]]:
    network = checked.network
    described = network.metadata
    told = "none"
    if described is not None:
        normal = described.normalisation
        parts = [described.name, f"{len(described.labels)} labels" if described.labels else "no labels"]
        parts.append(f"(pixel − {normal[0][0]:g}) / {normal[1][0]:g}" if normal and all(normal) else "no normalisation")
        told = ", ".join(part for part in parts if part)
    return [
        ("file", str(network.path)),
        ("size", f"{network.size_bytes:,} bytes".replace(",", " ")),
        ("converter's note", network.description or "none"),
        ("oldest runtime", network.runtime or "not told"),
        ("graphs", str(len(network.graphs))),
        (
            "operators",
            f"{len(network.main.steps)}, {checked.precision.integers} in integers, {checked.precision.floats} float",
        ),
        ("signatures", ", ".join(network.signatures) or "none"),
        ("metadata", told),
    ]
