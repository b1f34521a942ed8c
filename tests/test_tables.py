from mirada.tables import ms_text


def test_a_time_keeps_two_digits_that_say_something():
    assert [ms_text(value) for value in (12.34, 1.0, 0.96, 0.5312, 0.02849)] == ["12.3", "1.0", "1.0", "0.53", "0.028"]
    assert ms_text(None) == ms_text(float("nan")) == "–"
