"""What an import drags in: nothing heavy before a configuration is known to be right."""

import shutil
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
        "tracking.ui",
        "stages.inspect",
        "stages.export",
        "stages.predict",
        *(f"stages.{s}" for s in STAGES),
    ],
)
def test_module_is_light(module: str) -> None:
    assert loaded(f"import mirada.{module}") == set()


@pytest.mark.parametrize(
    "stage",
    [
        *STAGES,
        "check_qat",
        "check_tflite",
        "compare",
        "experiment",
        "export",
        "inspect",
        "predict",
        "serve",
        "sync",
        "ui",
        "worker",
    ],
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


IS_STANDARD = """
assert not __import__("pathlib").Path(inspect.__file__).resolve().is_relative_to(SOURCE), inspect.__file__
assert inspect is sys.modules["inspect"] and str(inspect.signature(lambda a, *, b=1: a)) == "(a, *, b=1)"
"""


@pytest.mark.parametrize("first", [str(SOURCE), f"{SOURCE}/../src"])
def test_the_doctor_hides_no_module_of_the_standard_library(first: str) -> None:
    """A script finds `src/inspect.py` first, whenever something imports the standard library's `inspect`."""
    code = f"import sys\nSOURCE = {str(SOURCE)!r}\nsys.path.insert(0, {first!r})\nassert 'inspect' not in sys.modules\n"
    code += (
        f"import inspect\n{IS_STANDARD}import dataclasses, hydra, numpy\n{IS_STANDARD}print('inspect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.parametrize("name", ["worker_probe", "inspect"])
def test_neither_does_it_in_worker_processes(method: str, name: str, tmp_path: Path) -> None:
    """Also not where the script is called as the doctor is: a worker loads the main script under another name."""
    shutil.copy(SOURCE / "inspect.py", tmp_path / "inspect.py")
    doctor = (SOURCE / "inspect.py").read_text().partition('elif __name__ == "__main__":')[0]
    probe = f"""
if __name__ != "inspect":
    import multiprocessing, sys
    SOURCE = {str(tmp_path)!r}
    def probe(_):
        import inspect
{"".join(f"        {line}{chr(10)}" for line in IS_STANDARD.strip().splitlines())}
        return inspect.__name__
if __name__ == "__main__":
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(pool.map(probe, [0]))
"""
    (tmp_path / f"{name}.py").write_text((doctor if name == "inspect" else "") + probe)
    done = subprocess.run([sys.executable, str(tmp_path / f"{name}.py")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "['inspect']\n"), done.stderr
