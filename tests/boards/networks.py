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


def carried(**changes: object) -> Carried:
    """What RESIDUAL takes of a board: 49,152 bytes of values and 10,848 of tables."""
    figures: dict[str, object] = {
        "arena_bytes": 60_000, "fixed_bytes": 10_848, "flash_bytes": 2_000, "milliseconds": None, "lacking": [],
        "npu_operators": 0, "cpu_operators": 0, "unknown": {"milliseconds": "time it on the board"},
    }  # fmt: skip
    return Carried(**(figures | changes), network=RESIDUAL, memory=plan_memory(RESIDUAL))  # type: ignore[arg-type]
