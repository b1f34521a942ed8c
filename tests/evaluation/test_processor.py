import pytest

from mirada.evaluation.processor import explain_int8, instruction_sets, recommend


def row(value: float, drop: float, size: float, p50: float) -> dict[str, float]:
    return {"map50": value, "drop": drop, "size_bytes": size * 1e6, "latency_ms_p50": p50}


FIGURES = {"float32": row(0.6, 0, 12, 10), "dynamic": row(0.599, 0.001, 3.3, 25), "int8": row(0.56, 0.04, 3.4, 4)}


@pytest.mark.parametrize(
    ("text", "sets"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_vnni avx_vnni\n", ("AVX2", "AVX-512", "AVX-VNNI", "AVX-512 VNNI")),
        ("flags: avx2 fma\nflags: avx2 fma\n", ("AVX2",)),
        ("Features\t: fp asimd asimddp i8mm\n", ("NEON", "dotprod", "i8mm")),
        ("model name : avx2\n", ()),
    ],
)
def test_instructions_are_read_from_the_flags_alone(text: str, sets: tuple[str, ...]) -> None:
    assert instruction_sets(text) == sets


@pytest.mark.parametrize(
    ("p50", "sets", "words"),
    [
        (4.4, ("AVX2", "AVX-512 VNNI"), "int8 takes 0.44 × .* multiplies int8 in fours \\(AVX-512 VNNI\\)"),
        (10.5, ("AVX2",), "1.05 × .* no instruction for products of int8 .*AVX2.* size and memory, not time"),
        (7.9, ("AVX2", "AVX-512"), "0.79 × .* fewer bytes are moved"),
        (9.8, ("NEON", "dotprod"), "although that multiplies int8 in fours \\(dotprod\\)"),
        (4.0, (), "the system does not tell"),
    ],
)
def test_one_sentence_says_why_int8_is_fast_or_not(p50: float, sets: tuple[str, ...], words: str) -> None:
    import re

    figures = {"float32": row(0.6, 0, 12, 10), "int8": row(0.6, 0, 3, p50)}
    assert re.search(words, explain_int8(figures, sets))
    assert explain_int8({"float32": figures["float32"]}, sets) == ""


def test_the_recommendation_keeps_within_the_budget() -> None:
    told = recommend(FIGURES, "map50", 0.01)  # int8 drops too far
    assert told.startswith("For this processor: float32, the fastest and most accurate within a drop of 0.01.")
    assert "the smallest is dynamic (3.30 MB, 25 ms)" in told
    assert recommend(FIGURES, "map50", 0.05).startswith("For this processor: int8, the fastest within a drop of 0.05.")


def test_of_times_that_are_level_the_smaller_file_is_taken() -> None:
    figures = {"float32": row(0.6, 0, 12, 10), "int8": row(0.595, 0.005, 3, 10.4)}
    assert "For this processor: int8, the fastest and smallest" in recommend(figures, "map50", 0.01)
