"""A network small enough to work out by hand what it takes."""

from mirada.boards.carried import Carried
from mirada.boards.memory import plan_memory
from mirada.boards.network import Network, Operator, Tensor

MAP = (1, 32, 32, 16)  # 16,384 bytes of int8

RESIDUAL = Network(
    tensors={
        0: Tensor("picture", (1, 64, 64, 3), 1),
        1: Tensor("net/stem/Relu6;net/stem/Conv2D", MAP, 1),
        2: Tensor("net/deep/Relu6", MAP, 1),
        3: Tensor("net/point/Conv2D", MAP, 1),
        4: Tensor("net/sum/add", MAP, 1),
        5: Tensor("net/pool/Mean", (1, 16), 1),
        6: Tensor("answer", (1, 4), 1),
    },
    operators=(
        Operator("CONV_2D", (0,), (1,), 432, 432),
        Operator("DEPTHWISE_CONV_2D", (1,), (2,), 144, 144),
        Operator("CONV_2D", (2,), (3,), 256, 256),
        Operator("ADD", (1, 3), (4,), 0, 0),
        Operator("MEAN", (4,), (5,), 0, 0),
        Operator("FULLY_CONNECTED", (5,), (6,), 64, 64),
    ),
    inputs=(0,),
    outputs=(6,),
)
"""A stem, one residual block, a mean and a dense layer; three maps live in the block's last two operators: 49,152 bytes."""


def in_two_strips() -> Network:
    """RESIDUAL with stem and block in an upper and a lower half: the same answers and weights."""
    tensors, operators = {0: RESIDUAL.tensors[0], 9: Tensor("net/sum/add", MAP, 1)}, []
    for first in (10, 20):
        tensors[first] = Tensor("picture_rows", (1, 32, 64, 3), 1)
        tensors |= {first + n: Tensor(RESIDUAL.tensors[n].name, (1, 16, 32, 16), 1) for n in (1, 2, 3, 4)}
        operators += [
            Operator("SLICE", (0,), (first,), 0, 32, (100 + first,)),
            Operator("CONV_2D", (first,), (first + 1,), 432, 432, (101,)),
            Operator("DEPTHWISE_CONV_2D", (first + 1,), (first + 2,), 144, 144, (102,)),
            Operator("CONV_2D", (first + 2,), (first + 3,), 256, 256, (103,)),
            Operator("ADD", (first + 1, first + 3), (first + 4,), 0, 0),
        ]
    operators += [Operator("CONCATENATION", (14, 24), (9,), 0, 0), Operator("MEAN", (9,), (5,), 0, 0)]
    tensors |= {5: RESIDUAL.tensors[5], 6: RESIDUAL.tensors[6]}
    return Network(tensors, (*operators, RESIDUAL.operators[-1]), (0,), (6,))


def carried(**changes: object) -> Carried:
    """What RESIDUAL takes of a board: 49,152 bytes of values and 10,848 of tables."""
    figures: dict[str, object] = {
        "arena_bytes": 60_000, "fixed_bytes": 10_848, "flash_bytes": 2_000, "milliseconds": None, "lacking": [],
        "npu_operators": 0, "cpu_operators": 0, "unknown": {"milliseconds": "time it on the board"},
    }  # fmt: skip
    return Carried(**(figures | changes), network=RESIDUAL, memory=plan_memory(RESIDUAL))  # type: ignore[arg-type]
