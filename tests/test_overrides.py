"""Which words of a command line are quoted before Hydra reads them, and what arrives at the other end."""

import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

import mirada.config  # noqa: F401 - makes the schemas known to Hydra
from mirada.errors import MiradaError
from mirada.overrides import quote_words

PROJECT = Path(__file__).resolve().parents[1]
ODD = 'é 中文 (1) #=it\'s "so" [x]{y}, $HOME 50% ~&\\:;!?*@+^|<>`'  # all that a name may hold, in one
CHARACTERS = [
    *"éß中()#='\" ,[]{}$%~-\\&:;!?*@+^|<>`\n\t",
    "x='y z'",
    "(b,",
    "c)",
    "'",
    "[a]",
    "{a: b}",
    "\\'",
    "a\"b'c",
]
NO_TEXT_FOR_HYDRA = ["1e3", "true", "-5", "nan", "1_000", "3.10"]


@pytest.mark.parametrize("form", ["{}", "/data/a{}b", "/data/{}", "/{}/c"])
def test_hydra_reads_a_path_as_it_was_typed(form: str) -> None:
    for odd in (*CHARACTERS, *NO_TEXT_FOR_HYDRA, ODD):
        (word,) = quote_words([f"data.path={form.format(odd)}"], "fetch")
        assert str(OverridesParser.create().parse_override(word).value()) == form.format(odd)


@pytest.mark.parametrize("path", [ODD, "1e3", "0123", "true"])
def test_a_path_arrives_in_the_configuration(path: str) -> None:
    with initialize_config_dir(config_dir=str(PROJECT / "conf"), version_base="1.3"):
        assert compose("fetch", overrides=["data=voc", *quote_words([f"data.path={path}"], "fetch")]).data.path == path


def test_an_escaped_dollar_is_no_interpolation() -> None:
    with initialize_config_dir(config_dir=str(PROJECT / "conf"), version_base="1.3"):
        words = quote_words(["data.path=/é/\\${x}"], "fetch")
        assert compose("fetch", overrides=["data=voc", *words]).data.path == "/é/${x}"


@pytest.mark.parametrize(
    ("script", "typed", "read"),
    [
        ("fetch", "data.path=/a/b", "data.path=/a/b"),
        ("fetch", "data.path=", "data.path="),
        ("fetch", "data.path=null", "data.path=null"),
        ("fetch", "data.path=${oc.env:HOME}/x", "data.path=${oc.env:HOME}/x"),
        ("fetch", "data.path='/a (b)'", "data.path='/a (b)'"),  # quoted already
        ("fetch", "data.path=/a\\ b", "data.path=/a\\ b"),  # Hydra's own escape
        ("fetch", "data.path=/a b ", "data.path='/a b '"),  # Hydra would cut the end off
        ("fetch", "data.path=/a (b)", "data.path='/a (b)'"),
        ("fetch", "+data.path=/a (b)", "+data.path='/a (b)'"),
        ("fetch", "data.path=/it's", "data.path='/it\\'s'"),
        ("fetch", "data=voc", "data=voc"),  # a choice of files, no text
        ("fetch", "force=1e3", "force=1e3"),
        ("fetch", "qqq=(", "qqq=("),  # no key: Hydra says so
        ("fetch", "hydra.run.dir=/a (b)", "hydra.run.dir='/a (b)'"),
        ("preprocess", "raw_dir=/é", "raw_dir='/é'"),
        ("preprocess", "data.classes=[no,off,1e3,0123,true,null]", "data.classes=[no,off,'1e3',0123,'true','null']"),
        ("preprocess", "data.classes=['a, b', Golden (old)]", "data.classes=['a, b','Golden (old)']"),
        ("preprocess", "data.rename={a b: 1e3, c: é}", "data.rename={a b: '1e3',c: 'é'}"),
        ("preprocess", "data.rename.dog=1e3", "data.rename.dog='1e3'"),
        ("train", "class_weight=none,loss", "class_weight=none,loss"),  # a sweep without its -m, as Hydra will say
        ("train", "epochs=1e3", "epochs=1e3"),
        ("predict", "source=IMG (1), b.jpg", "source='IMG (1), b.jpg'"),
        ("experiment", "data.path=/a (b)", "data.path='/a (b)'"),
        ("experiment", "preprocess.data.classes=[1e3]", "preprocess.data.classes=['1e3']"),
        ("experiment", "train.tracking.run_name=1e3", "train.tracking.run_name='1e3'"),
        ("experiment", "fit=1e3", "fit='1e3'"),  # a key without its stage's name
        ("no_script_of_ours", "data.path=/a (b)", "data.path=/a (b)"),
    ],
)
def test_what_is_quoted_and_what_stays(script: str, typed: str, read: str) -> None:
    assert quote_words([typed], script) == [read]


def test_a_sweep_stays_a_sweep() -> None:
    words = [
        "-m",
        "data.path=/a (b),/c",
        "data.path='/a, b',/c",
        "data.classes=[a,1e3],[b]",
        "data.task=auto,detection",
    ]
    assert quote_words(words, "fetch") == [
        "-m",
        "data.path='/a (b)',/c",
        "data.path='/a, b',/c",
        "data.classes=[a,'1e3'],[b]",
        "data.task=auto,detection",
    ]
    assert quote_words(["-m", "data.path=choice(/a,/b)"], "fetch")[1] == "data.path=choice(/a,/b)"


@pytest.mark.parametrize("name", ["1e3", "null", "true", "é", "a, b"])
def test_a_name_that_braces_can_not_hold_is_refused_with_the_way_to_write_it(name: str) -> None:
    with pytest.raises(MiradaError, match=r"data.rename: .* can't stand as a name in braces .* conf/data/mine.yaml"):
        quote_words([f"data.rename={{{name}: x}}"], "fetch")


def photographs(folder: Path) -> Path:
    """Two classes of six pictures below a folder with an odd name."""
    for label, red in (("a", 40), ("b", 200)):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            Image.new("RGB", (32, 32), (red, number, 9)).save(folder / label / f"{number}.png")
    return folder


def run(folder: Path, script: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(PROJECT / f"src/{script}.py"), *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_commands_take_a_folder_of_any_name(tmp_path: Path) -> None:
    odd = photographs(tmp_path / ODD.replace("/", ""))
    own = ["data=folder", "data.name=own", f"data.path={odd}"]
    run(tmp_path, "fetch", *own, f"output_dir={tmp_path / f'raw {ODD}'}", "hydra.run.dir=log (1)")
    made = tmp_path / f"processed {ODD}"
    size = ["input_size=64", "workers=1"]
    said = run(tmp_path, "preprocess", *own, f"raw_dir={tmp_path / f'raw {ODD}'}", f"output_dir={made}", *size)
    assert "6 a, 6 b" in said
    assert (made / "dataset.json").is_file()
    assert (tmp_path / "log (1)").is_dir()


@pytest.mark.slow
def test_an_experiment_takes_a_folder_of_any_name(tmp_path: Path) -> None:
    odd = photographs(tmp_path / ODD)
    words = (
        "preprocess.input_size=64 preprocess.workers=1 model=tiny epochs=1 freeze_epochs=0 batch_size=2 max_drop=null"
    )
    words += (
        " quantize.variants=[float32] evidence_images=0 latency_runs=1 bootstrap_samples=0 train.tracking.enabled=false"
    )
    run(
        tmp_path,
        "experiment",
        "data=folder",
        f"data.path={odd}",
        f"output_dir={tmp_path / 'out (1), é'}",
        *words.split(),
    )
    assert (tmp_path / "out (1), é/reports/evaluate/metrics.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("character", ["é", "(", "#", "=", "'", '"', " ", ",", "[", "$", "%", "~", "\\", "&", ":"])
def test_fetch_names_the_missing_folder_as_it_was_typed(tmp_path: Path, character: str) -> None:
    command = [sys.executable, str(PROJECT / "src/fetch.py"), "data=folder", f"data.path=no{character}x/y"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == f"error: data.path=no{character}x/y does not exist: give a folder or an archive.\n"
    assert done.returncode == 1
