"""The operators of runtimes, by the names of the schema."""

from ai_edge_litert import schema_py_generated as schema

from mirada.boards.operators import OPERATORS, lacking_operators


def test_every_set_holds_names_of_the_schema() -> None:
    for names in OPERATORS.values():
        assert names is None or {name for name in names if not hasattr(schema.BuiltinOperator, name)} == set()
    assert OPERATORS["tflm"] is not None and len(OPERATORS["tflm"]) > 90


def test_what_is_lacking_is_named_once() -> None:
    assert lacking_operators(["CONV_2D", "Odd", "LSTM", "Odd"], "tflm") == ["LSTM", "Odd"]
    assert lacking_operators(["CONV_2D", "LSTM"], "edgetpu") == lacking_operators(["Odd"], "litert") == []
