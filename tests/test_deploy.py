"""The files of `deploy/`: read by the tools that will read them where these are here, and true of what the service tells."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir

from mirada.config import parse
from mirada.service.metrics import Metrics
from tests.service.conftest import PROJECT

DEPLOY = PROJECT / "deploy"
SERVICES = yaml.safe_load((DEPLOY / "compose.yaml").read_text())


DASHBOARD = json.loads((DEPLOY / "grafana/mirada.json").read_text())
ADDED = {"instance", "job", "le"}  # by Prometheus, and by its histograms


def queries() -> list[str]:
    """Of the dashboard, its variables and the alerts."""
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    asked += [json.dumps(variable["query"]) for variable in DASHBOARD["templating"]["list"]]
    return asked + [rule["expr"] for group in groups for rule in group["rules"]]


def test_dashboard_and_alerts_ask_for_metrics_that_there_are() -> None:
    told = set(re.findall(r"^# TYPE (mirada_\w+)", Metrics().render().decode(), re.M))
    names = {re.sub("_bucket$", "", name) for expr in queries() for name in re.findall(r"mirada_\w+", expr)}
    assert len(names) > 8 and names <= told


def test_dashboard_and_alerts_ask_for_labels_that_there_are() -> None:
    labels = {metric._name: set(metric._labelnames) for metric in vars(Metrics()).values() if hasattr(metric, "_name")}
    asked = 0
    for expr in queries():
        names = [re.sub("_(bucket|total)$", "", name) for name in re.findall(r"mirada_\w+", expr)]
        known = set().union(*(labels[name] for name in names)) | ADDED
        selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", "".join(re.findall(r"\{([^}]*)\}", expr)))
        grouped = re.findall(r"\w+", ",".join(re.findall(r"\b(?:by|on|without|ignoring) \(([^)]*)\)", expr)))
        asked += len(selected) + len(grouped)
        assert {*selected, *grouped} <= known, expr
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            shown = set(re.findall(r"\{\{\s*(\w+)", target.get("legendFormat", "")))
            assert shown <= set(re.findall(r"\w+", target["expr"])), target
    assert asked > 30


def test_grafanas_own_types_know_all_of_the_dashboard() -> None:
    """They are generated from its schema, and drop on the way what that does not know."""
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard", reason="no grafana-foundation-sdk")
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins

    register_default_plugins()
    again = json.loads(JSONEncoder().encode(models.Dashboard.from_json(DASHBOARD)))
    assert lost(DASHBOARD, again) == []
    slip = json.loads(json.dumps(DASHBOARD).replace('"drawStyle"', '"drawStile"').replace('"gridPos"', '"gridpos"'))
    assert lost(slip, json.loads(JSONEncoder().encode(models.Dashboard.from_json(slip)))) != []


def lost(before: Any, after: Any, place: str = "") -> list[str]:
    """Where a part of `before` is not in `after`, or another."""
    if isinstance(before, dict) and isinstance(after, dict):
        gone = [f"{place}.{key}" for key in before if key not in after]
        return gone + [x for key in before if key in after for x in lost(before[key], after[key], f"{place}.{key}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [x for n, pair in enumerate(zip(before, after, strict=True)) for x in lost(*pair, f"{place}[{n}]")]
    return [] if before == after else [place]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool: install Debian's prometheus")
def test_alerts_fire_when_they_should() -> None:
    done = subprocess.run(
        ["promtool", "test", "rules", DEPLOY / "prometheus/alerts.test.yml"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze: install Debian's systemd")
def test_units_are_in_order(tmp_path: Path) -> None:
    for unit in (DEPLOY / "systemd").iterdir():
        text = re.sub(r"/srv/mirada/\.venv/bin/\w+", sys.executable, unit.read_text())
        assert sys.executable in text
        text = re.sub(r"^(User|Group|Documentation)=.*\n", "", text, flags=re.M)  # the machine's own
        (tmp_path / unit.name.replace("@.", "@1.")).write_text(text)
    units = sorted(tmp_path.iterdir())
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "") and len(units) == 3


def test_commands_of_units_and_containers_are_settings_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIRADA_QUEUE", "redis://:secret@redis:6379/0")
    units = [line.split()[1:] for unit in (DEPLOY / "systemd").iterdir() for line in unit.read_text().splitlines()
             if line.startswith("ExecStart=") and "src/" in line]  # fmt: skip
    containers = [SERVICES["services"][name]["command"][1:] for name in ("api", "worker")]
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        for script, *overrides in units + containers:
            filled = [
                re.sub(r"\$\{(\w+):[-?]([^}]*)\}", r"\2", o).replace("$$", "$").replace("%i", "1") for o in overrides
            ]
            filled = ["origins=[https://a.example]" if o.startswith("origins=") else o for o in filled]
            config = parse(compose(Path(script).stem, overrides=filled))
            if any("MIRADA_QUEUE" in override for override in overrides):
                assert config.queue.url == "redis://:secret@redis:6379/0"


def test_containers_name_what_there_is() -> None:
    services, volumes = SERVICES["services"], SERVICES["volumes"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= services.keys(), name
        for other, how in service.get("depends_on", {}).items():
            tested = "healthcheck" in services[other] or services[other]["image"] == "mirada"
            assert how["condition"] != "service_healthy" or tested, (name, other)
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (
                source in volumes
                or source.startswith("/")
                or source in ("./tls", "./token")
                or (DEPLOY / source).exists()
            )
