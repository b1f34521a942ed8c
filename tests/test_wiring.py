"""DVC, Hydra and the code agree: names, commands, parameters and dependencies."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mirada.config import SCHEMAS, TASKS, VARIANTS, parse

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "src"
PIPELINE = yaml.safe_load((PROJECT / "dvc.yaml").read_text())
PARAMS = yaml.safe_load((PROJECT / "params.yaml").read_text())
STAGES = [*list(SCHEMAS)[:1], "inspect", *list(SCHEMAS)[1:]]  # of an experiment's stages the doctor is none

# What a stage imports without a say in its result: an edit of these runs nothing again.
NO_SAY = {
    "",  # the package's own door, for notebooks
    "cli",
    "config",
    "data.stored_data",
    "errors",
    "files",
    "learning.cluster",
    "project",
    "quiet",
    "storage",
    "sweeps",
    "terminal",
    "tracking",
    "workers",
}
# Downloads with a fixed digest: the bytes are the same whatever the downloader looks like.
NO_SAY_IN = {("train", "data.sources"), ("quantize", "data.sources")}
# What it lists there names the raw files for a sweep to know them again; it shapes no record.
NO_SAY_IN |= {("preprocess", "data.sources")}
# What is refused, and what MLflow gets to know: the weights are the same whatever these look like.
NO_SAY_IN |= {("train", "stages.training")}
# Pictures and tables for the report: the weights are the same whatever they look like.
NO_SAY_IN |= {
    (stage, name) for stage in ("train", "quantize") for name in ("palette", "plots", "tables", "tasks.pictures")
}


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(config_dir=str(PROJECT / "conf"), version_base="1.3"):
        yield


def parameters(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= parameters(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def template_keys(text: str) -> list[str]:
    """What DVC fills in."""
    return re.findall(r"(?<!\\)\$\{([^}]+)\}", text)


def read_keys(text: str) -> list[str]:
    """What the command itself reads in params.yaml, behind an escape that keeps DVC from it."""
    return re.findall(r"\\\$\{params:([^}]+)\}", text)


def resolved(text: str, values: dict[str, Any]) -> str:
    return re.sub(r"(?<!\\)\$\{([^}]+)\}", lambda match: str(values[match[1]]), text).replace("\\${", "${")


def overrides_of(stage: str, values: dict[str, Any]) -> list[str]:
    words = shlex.split(resolved(PIPELINE["stages"][stage]["cmd"], values))
    assert words[:2] == ["python", f"src/{stage}.py"]
    return [word for word in words[2:] if not word.startswith("hydra.")]


def modules_with_a_say(stage: str) -> set[str]:
    """Names below `mirada`, 'learning.models' and the like, that a stage imports, directly or through another one."""
    todo, seen = [f"stages.{stage}"], set()
    while todo:
        name = todo.pop()
        if name in seen or has_no_say(stage, name) or not file_of(name).is_file():
            continue
        seen.add(name)
        todo += [f"{name}.{task}" for task in TASKS if name in ("tasks", "learning.tasks")]  # they import by name
        for node in ast.walk(ast.parse(file_of(name).read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "mirada":
                base = (node.module or "").removeprefix("mirada").lstrip(".")
                todo += [base, *(f"{base}.{alias.name}".lstrip(".") for alias in node.names)]
                todo += ["learning"] if base.startswith("learning.") else []
    return seen


def has_no_say(stage: str, name: str) -> bool:
    """Of a module, or of a folder and so of all that is in it."""
    parts = name.split(".")
    return any(
        part in NO_SAY or (stage, part) in NO_SAY_IN for part in (".".join(parts[:n]) for n in range(1, len(parts) + 1))
    )


def is_docstring(path: Path) -> bool:
    """Whether a file holds nothing but what it is for."""
    body = ast.parse(path.read_text()).body if path.suffix == ".py" else []
    return len(body) == 1 and isinstance(body[0], ast.Expr)


def file_of(name: str) -> Path:
    path = SOURCE / "mirada" / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def expected_sources(stage: str) -> set[str]:
    paths = {file_of(name) for name in modules_with_a_say(stage)}
    templates = {
        template
        for template in (SOURCE / "mirada").rglob("*.j2")
        if any(template.name in path.read_text() for path in paths)
    }
    files = {path.relative_to(PROJECT).as_posix() for path in paths if not is_docstring(path)}
    return files | {template.relative_to(PROJECT).as_posix() for template in templates} | {f"src/{stage}.py"}


def test_a_stage_has_one_name_everywhere() -> None:
    assert list(PIPELINE["stages"]) == STAGES
    assert list(PARAMS) == STAGES
    for stage in STAGES:
        for path in (f"src/{stage}.py", f"src/mirada/stages/{stage}.py", f"conf/{stage}.yaml"):
            assert (PROJECT / path).is_file(), path


@pytest.mark.parametrize("stage", STAGES)
def test_command_composes(stage: str) -> None:
    parse_with_folders(stage, overrides_of(stage, parameters(PARAMS)))


def parse_with_folders(stage: str, overrides: list[str]) -> Any:
    return parse(compose(stage, overrides=overrides))


@pytest.mark.parametrize("stage", STAGES)
def test_every_parameter_arrives(stage: str) -> None:
    values = parameters(PARAMS)
    groups = {
        "data": "name",
        "model": "name",
        "augment": "name",
        "device": "name",
    }  # a group's choice shows in the name that the chosen file sets
    for word in shlex.split(PIPELINE["stages"][stage]["cmd"]):
        for template in template_keys(word):
            key = word.partition("=")[0]
            sent = {int: 7, float: 0.007, bool: not values[template]}.get(type(values[template]), values[template])
            sent = {
                "input_size": 64,
                "split": "val",
                "data": "shapes",
                "raw_dir": "shapes",
                "fail_on": "error",
                "model": "tiny",
                "augment": "upright",
                "device": "esp32s3",
            }.get(key, sent)
            overrides = overrides_of(stage, values | {template: sent})
            arrived = OmegaConf.select(
                compose(stage, overrides=overrides), f"{key}.{groups[key]}" if key in groups else key
            )
            assert arrived == (f"data/raw/{sent}" if key == "raw_dir" else sent), template
            assert sent != values[template], f"{template} was not changed by this test"


def test_every_parameter_is_used_and_known() -> None:
    text = (PROJECT / "dvc.yaml").read_text()
    assert set(template_keys(text)) | set(read_keys(text)) == set(parameters(PARAMS))


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_command_reads_in_params_is_known_to_dvc_and_arrives_as_it_stands(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_keys(PIPELINE["stages"][stage]["cmd"])
    assert PIPELINE["stages"][stage].get("params", []) == read
    free = {"train": ["train.teacher"]} | dict.fromkeys(("fetch", "inspect", "preprocess"), ["fetch.path"])
    assert read == free.get(stage, [])
    monkeypatch.chdir(tmp_path)
    for path in ("/a b/c (1),2", '/é/it\'s "so" #1=2 $x ${y} `z` \\n', "null", "no", "0123", "1e3"):
        said = {"fetch": {"path": path}, "train": {"teacher": path}}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(said, allow_unicode=True))
        cfg = compose(stage, overrides=overrides_of(stage, parameters(PARAMS)))
        assert "data" not in cfg or cfg.data.path == path
        assert stage != "train" or cfg.teacher == path


def listed_sources(stage: str) -> set[str]:
    """The source files of a stage, those of a folder one by one."""
    found = set()
    for dep in (PROJECT / dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith("src/")):
        files = [dep] if dep.is_file() else [path for path in dep.rglob("*") if "__pycache__" not in path.parts]
        found |= {path.relative_to(PROJECT).as_posix() for path in files if path.is_file() and not is_docstring(path)}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_are_what_the_stage_imports(stage: str) -> None:
    """So an edit of the service, of the docs or of another stage runs nothing again.

    A folder is listed where the stage needs all of it; what is in it besides has a say in a stage before, or in none.
    """
    needed, listed = expected_sources(stage), listed_sources(stage)
    assert needed <= listed
    before = set().union(*(expected_sources(name) for name in STAGES[: STAGES.index(stage)]))
    modules = {path: path.removeprefix("src/mirada/").removesuffix(".py").replace("/", ".") for path in listed - needed}
    assert {path for path, name in modules.items() if path not in before and not has_no_say(stage, name)} == set()


@pytest.mark.parametrize("stage", STAGES)
def test_dependencies_exist_or_are_made_by_an_earlier_stage(stage: str) -> None:
    values, made = parameters(PARAMS), set()
    for earlier in STAGES[: STAGES.index(stage)]:
        made |= {resolved(out, values) for out in PIPELINE["stages"][earlier]["outs"]}
    for dep in PIPELINE["stages"][stage]["deps"]:
        path = resolved(dep, values)
        assert path in made or (PROJECT / path).exists(), path


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_the_conf_files_it_reads(stage: str) -> None:
    values = parameters(PARAMS)
    expected = {f"conf/{stage}.yaml"}
    for group in ("data", "model", "augment", "device"):
        expected |= {
            f"conf/{override.replace('=', '/')}.yaml"
            for override in overrides_of(stage, values)
            if override.startswith(f"{group}=")
        }
    deps = {resolved(dep, values) for dep in PIPELINE["stages"][stage]["deps"]}
    assert {dep for dep in deps if dep.startswith("conf/")} == expected


@pytest.mark.parametrize("stage", STAGES)
def test_command_writes_the_declared_outputs(stage: str) -> None:
    """`fetch` chooses its folder by the data's name, which is the file's: so no folder is passed."""
    values = parameters(PARAMS)
    outs = [resolved(out, values) for out in PIPELINE["stages"][stage]["outs"]]
    assert parse_with_folders(stage, overrides_of(stage, values)).output_dir == outs[0]


# Hydra's own groups, `conf/hydra`, are composed where launchers are tested.
CONF_FILES = sorted(path for path in (PROJECT / "conf").rglob("*.yaml") if path.parts[-3] != "hydra")


OWN_DATA = ("animals", "auto", "coco", "createml", "csv", "cvat", "dota", "folder", "jsonl", "keras", "label_studio")
OWN_DATA += ("labelme", "tfrecord", "via", "voc", "yolo")


@pytest.mark.parametrize("path", CONF_FILES, ids=lambda path: path.stem)
def test_every_conf_file_composes(path: Path) -> None:
    group = path.parent.relative_to(PROJECT / "conf")
    stages = {
        "data": ("fetch", "preprocess", "experiment"),
        "model": ("train",),
        "augment": ("train",),
        "input": ("train",),
        "executor": ("preprocess",),
        "device": ("export",) if path.stem != "none" else (),
        "experiment": ("experiment",),
        "qualities": (),  # no group of Hydra's: written out before it reads the command line
        ".": (path.stem,),
    }[str(group)]
    own = ["data.path=photos"] if path.stem in OWN_DATA else []
    predicting = {"predict": ["source=photos", "output_dir=out"]}
    own += {
        "check_qat": ["path=a.keras"],
        "check_tflite": ["path=a.tflite"],
        "sync": [],
        "ui": [],
        "serve": [],
        "keys": [],
        "worker": [],
        **predicting,
    }.get(path.stem, ["output_dir=out"])
    for stage in stages:
        choice = [] if str(group) == "." else [f"{group}={path.stem}"]
        config = parse(compose(stage, overrides=[*choice, *own]))
        if choice and str(group) != "experiment":  # the recipes are tested with the stage of that name
            assert getattr(config, str(group)).name == path.stem


def test_metrics_and_plots_lie_in_the_outputs_of_evaluate() -> None:
    curves, confusion, tradeoff = (next(iter(entry.items())) for entry in PIPELINE["plots"])
    assert curves[1]["y"] == {"reports/evaluate/plots/pr.csv": list(VARIANTS)}
    assert all(path.startswith("reports/evaluate/") for path in [*PIPELINE["metrics"], confusion[0], tradeoff[0]])
