"""What an import drags in: nothing heavy before a configuration is known to be right."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SOURCE = Path(__file__).resolve().parents[1] / "src"
STAGES = ("fetch", "preprocess", "train", "quantize", "evaluate")
HEAVY = ("tensorflow", "tf_keras", "keras", "mlflow", "optuna", "pandas", "matplotlib")
NOT_FOR_HELP = (*HEAVY, "numpy", "PIL")


def loaded(code: str) -> set[str]:
    """The heavy packages that a fresh interpreter holds after running the code."""
    report = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", report], env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_probe_sees_an_import() -> None:
    assert loaded("import matplotlib") == {"matplotlib"}


@pytest.mark.parametrize(
    "module",
    [
        "config",
        "cli",
        "data.records",
        "inference.card",
        "tracking",
        "stages.checks.check_tflite",
        "stages.sync",
        "stages.predict",
        *(f"stages.{s}" for s in STAGES),
    ],
)
def test_module_is_light(module: str) -> None:
    assert loaded(f"import mirada.{module}") == set()


@pytest.mark.parametrize(
    "stage", [*STAGES, "check_qat", "check_tflite", "compare", "experiment", "predict", "serve", "sync", "worker"]
)
def test_help_is_light_and_lists_the_keys(stage: str, tmp_path: Path) -> None:
    script = str(SOURCE / f"{stage}.py")
    code = (
        "import atexit, runpy, sys\n"
        f"sys.argv = [{script!r}, '--help']\n"
        "atexit.register(lambda: print('heavy:', *[name for name in "
        + repr(NOT_FOR_HELP)
        + " if name in sys.modules]))\n"
        f"runpy.run_path({script!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy:"
    assert not any(tmp_path.iterdir()), "help must write nothing"
    keys = yaml.safe_load((SOURCE.parent / "conf" / f"{stage}.yaml").read_text()).keys() - {"defaults", "hydra"}
    assert keys <= {line.partition(":")[0] for line in done.stdout.splitlines()}
