from hypothesis import given
from hypothesis import strategies as st

from mirada.learning.course.guard import Guard


def guarding(**values) -> Guard:
    guard = Guard(**values)
    guard.remember(0.8, "guarded-0002", since=2, whole=False)
    return guard


def test_a_figure_that_stays_below_is_a_reason_to_go_back():
    guard = guarding()
    found = [guard.watch(figure, epoch, 1.0, 2) for epoch, figure in enumerate([0.7, 0.81, 0.79, 0.7], start=3)]
    assert found == [False, False, False, True]


def test_a_figure_is_not_counted_before_the_rate_has_risen():
    guard = guarding()
    assert [guard.watch(0.1, epoch, 3.0, 1) for epoch in (3, 4, 5)] == [False, False, True]


def test_nothing_is_guarded_before_there_is_something_to_go_back_to_or_where_it_is_off():
    assert not Guard().watch(0.0, 9, 0.0, 1)
    assert not guarding().watch(0.0, 9, 0.0, 0)


def test_each_return_is_three_times_more_gentle_until_it_is_closed():
    guard, seen = guarding(), []
    for epoch in (5, 8, 11):
        guard.go_back(epoch, most=2)
        seen.append((guard.since, guard.divisor, guard.closed))
    assert seen == [(5, 3.0, False), (8, 9.0, False), (11, 27.0, True)]
    assert not guard.watch(0.0, 20, 0.0, 1)


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(1, 4))
def test_it_never_goes_back_from_figures_that_are_not_below(figures, patience):
    guard, back = guarding(), []
    for epoch, figure in enumerate(figures, start=3):
        if guard.watch(figure, epoch, 0.0, patience):
            back.append(epoch)
            guard.go_back(epoch, most=99)
    assert all(all(figure < 0.8 for figure in figures[epoch - patience - 2 : epoch - 2]) for epoch in back)
    runs = "".join("x" if figure < 0.8 else " " for figure in figures).split()
    assert len(back) <= sum(len(run) // patience for run in runs)
