"""The picture of memory in words and as a PNG."""

from mirada.boards.memory import plan_memory
from mirada.boards.memory_plot import describe_memory, memory_table, plot_memory, short_name
from tests.boards.networks import RESIDUAL

MEMORY = plan_memory(RESIDUAL)


def test_the_words_name_the_peak_who_it_is_and_what_would_lower_it() -> None:
    assert describe_memory(RESIDUAL, MEMORY, 60_000, 10_848) == [
        "The peak is between operators 3 and 4 of 6 (CONV_2D): 48 KB, among them 16 KB of stem and 16 KB of deep.",
        "TensorFlow Lite Micro's arena is 60,000 bytes (59 KB): 48 KB of values, 11 KB of tables that stay.",
        "With twice the stride in the first convolution the peak would be 16 KB (0.33 of it); with input_size 32 instead of "
        "64 the peak would be 12 KB (0.25 of it).",
    ]


def test_the_table_has_a_line_a_tensor_and_operators_from_one() -> None:
    lines = memory_table(MEMORY).splitlines()
    assert len(lines) == 8 and lines[0] == "tensor,bytes,first_operator,last_operator"
    assert "picture,12288,1,1" in lines and "answer,16,6,6" in lines


def test_the_plot_is_a_picture_in_light_and_dark_with_lines_and_without() -> None:
    light, dark = (plot_memory(MEMORY, limit_bytes=20_000, arena_bytes=60_000, dark=dark) for dark in (False, True))
    assert light.startswith(b"\x89PNG") and dark.startswith(b"\x89PNG")
    assert len({light, dark, plot_memory(MEMORY)}) == 3


def test_a_layer_is_named_as_the_network_names_it() -> None:
    assert short_name("net/stem/Relu6;net/stem/Conv2D") == "stem"
    assert short_name("a/b/c/d") == "b/c" and short_name("plain") == "plain" and short_name("") == "a tensor"
