"""The plan of memory, worked out by hand."""

from mirada.boards.memory import Life, plan_memory
from mirada.boards.network import Network, Operator, Tensor
from tests.boards.networks import RESIDUAL


def test_a_tensor_lives_from_who_makes_it_to_the_last_that_reads_it() -> None:
    memory = plan_memory(RESIDUAL)
    spans = {life.name.split("/")[-1]: (life.first, life.last, life.size_bytes) for life in memory.lives}
    assert spans["picture"] == (0, 0, 64 * 64 * 3)
    assert spans["Conv2D"] in ((0, 3, 16_384), (2, 3, 16_384))
    assert spans["Mean"] == (4, 5, 16) and spans["answer"] == (5, 5, 16)  # 4 bytes, in whole sixteens
    assert memory.used_bytes.tolist() == [12_288 + 16_384, 32_768, 49_152, 49_152, 16_400, 32]
    assert memory.peak_bytes == 49_152 and memory.peak == (2, 3)


def test_an_output_lives_to_the_end_and_an_input_from_the_beginning() -> None:
    early = Network(
        {
            0: Tensor("a", (1, 32), 1),
            1: Tensor("b", (1, 16), 4),
            2: Tensor("c", (1, 16), 1),
            3: Tensor("d", (1, 16), 1),
        },
        (Operator("RELU", (0,), (1,), 0, 0), Operator("RELU", (2,), (3,), 0, 0)),
        (0, 2),
        (1, 3),
    )
    memory = plan_memory(early)
    assert Life("b", 64, 0, 1) in memory.lives and Life("c", 16, 0, 1) in memory.lives
    assert memory.used_bytes.tolist() == [32 + 64 + 16, 64 + 16 + 16]
