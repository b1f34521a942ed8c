"""Runtimes asked about small networks; the real ones where they are installed."""

from importlib.util import find_spec

import pytest

from mirada.boards import tflm, vela
from mirada.quantization.foreign import verdicts
from mirada.quantization.foreign.precision import precision_of
from mirada.quantization.foreign.reading import read_network
from mirada.quantization.foreign.verdicts import (
    ABSENT,
    COMPILES,
    CRASHES,
    LOADS,
    REFUSES,
    RUNS,
    Verdict,
    ask_litert,
    ask_tflm,
    ask_vela,
    verdict_findings,
)
from tests.quantization.foreign.drafts import Draft, convolution, image


@pytest.fixture
def right(tmp_path):
    draft = Draft()
    source = image(draft)
    return draft.write(tmp_path / "right.tflite", [source], [convolution(draft, source)])


@pytest.fixture
def custom(tmp_path):
    draft = Draft()
    source, target = image(draft), image(draft)
    draft.step("CUSTOM", [source], [target], custom="Mine")
    return draft.write(tmp_path / "custom.tflite", [source], [target])


def codes(path, *said: Verdict, resizable: bool = False) -> dict[str, str]:
    network = read_network(path)
    foreign = any(step.custom for step in network.main.steps)
    return {f.code: f.severity for f in verdict_findings([*said], precision_of(network), foreign, resizable)}


def test_litert_runs_what_is_right_and_names_what_it_lacks(right, custom):
    assert ask_litert(right) == Verdict("LiteRT", RUNS, "LiteRT loads it and computes an inference on zeros.")
    refused = ask_litert(custom)
    assert refused.answer == REFUSES and "Mine" in refused.sentence and refused.sentence.count(".") == 1
    assert codes(custom, refused) == {}, "the operator itself is told of already"
    assert codes(right, refused) == {"litert_refuses": "error"}
    assert codes(right, refused, resizable=True) == {"litert_size": "warning"}, "it may run at another size"


def test_a_crash_is_a_verdict(right, monkeypatch):
    monkeypatch.setattr(verdicts, "_LITERT", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    crashed = ask_litert(right)
    assert crashed == Verdict("LiteRT", CRASHES, "LiteRT crashes on it (SIGSEGV).")
    assert codes(right, crashed) == {"litert_refuses": "error"}


def test_a_runtime_that_never_ends_is_stopped(right, monkeypatch):
    monkeypatch.setattr(verdicts, "_LITERT", "import time; time.sleep(60)")
    monkeypatch.setattr(verdicts, "_SECONDS", 0.5)
    assert ask_litert(right).sentence == "LiteRT refuses it: took more than 0.5 s."


def test_what_is_not_installed_is_said_and_no_finding(right, monkeypatch):
    for runtime in (tflm, vela):
        monkeypatch.setattr(runtime, "find_spec", lambda name: None)
    micro, compiler = ask_tflm(right), ask_vela(right)
    assert (micro.answer, micro.sentence) == (ABSENT, "TFLM was not asked: pip install --pre tflite-micro.")
    assert (compiler.answer, compiler.sentence) == (ABSENT, "Vela was not asked: pip install ethos-u-vela.")
    assert codes(right, micro, compiler) == {}


@pytest.mark.skipif(find_spec("tflite_micro") is None, reason="tflite-micro is not installed")
def test_tflm_tells_its_arena_to_the_byte(right, custom):
    said = ask_tflm(right)
    total, head, tail = (said.figures[f"arena_{part}_bytes"] for part in ("total", "head", "tail"))
    assert said.answer == LOADS and total == head + tail and head >= 4 * 4 * 2 * 2  # what flows in and out
    refused = ask_tflm(custom)
    assert refused.sentence == "TFLM refuses it: operator CUSTOM." and codes(custom, refused) == {
        "tflm_refuses": "warning"
    }


@pytest.mark.skipif(find_spec("ethosu") is None, reason="ethos-u-vela is not installed")
def test_vela_counts_what_it_puts_on_the_npu(right, custom):
    said = ask_vela(right)
    assert said.answer == COMPILES and said.figures["npu_operators"] == said.figures["operators"] == 1
    assert said.figures["sram_kib"] > 0 and said.figures["estimated_ms"] > 0 and codes(right, said) == {}
    left = ask_vela(custom)
    assert left.sentence == "Vela puts 0 of 1 operator on an Ethos-U55-128." and codes(custom, left) == {
        "vela_cpu": "warning"
    }


def test_a_refusal_weighs_less_where_a_file_is_not_whole(tmp_path, right):
    draft = Draft()
    source, target = draft.tensor("in", (1, 4), "FLOAT32"), draft.tensor("out", (1, 4), "FLOAT32")
    draft.step("ADD", [source, source], [target])
    floating = draft.write(tmp_path / "float.tflite", [source], [target])
    refused = Verdict("TFLM", REFUSES, "TFLM refuses it: operator ADD.")
    half = Verdict("Vela", COMPILES, "Vela puts 0 of 1.", {"npu_operators": 0.0, "operators": 1.0})
    assert codes(floating, refused, half) == {"tflm_refuses": "note"}
    assert codes(right, refused, half) == {"tflm_refuses": "warning", "vela_cpu": "warning"}
