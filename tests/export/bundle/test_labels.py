import pytest

from mirada.errors import MiradaError
from mirada.export.bundle.labels import labels_text


def test_a_label_a_line_in_their_order_whatever_the_letters() -> None:
    assert labels_text(["Tree", "Bäume, alt", "木", "a b"]) == "Tree\nBäume, alt\n木\na b\n"


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ("", "is empty"),
        (" a", "begins or ends with a blank"),
        ("a\nb", "holds a line break"),
        ("a\u2028b", "holds a line break"),
        ("a\x00b", "a control character"),
        ("a\ud800", "half a letter"),
    ],
)
def test_a_label_that_would_not_be_read_again_is_refused(label: str, sentence: str) -> None:
    with pytest.raises(MiradaError, match=rf"the label .* {sentence}.*rename it"):
        labels_text(["fine", label])
