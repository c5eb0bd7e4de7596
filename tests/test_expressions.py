"""The text form of recipes, schedules and models: read and written, never evaluated."""

import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reglab import ReglabError
from reglab.expressions import format_value, parse_call, parse_sum
from reglab.schedules import from_call
from reglab.seeds import derive
from reglab.strategies import Cosine, Linear, Steps

numbers = st.floats(-1e6, 1e6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\0"), max_size=20)
)


@example("µ")  # whose normal form is another letter
@given(st.recursive(scalars, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6))
def test_every_value_is_read_back_as_it_was_written(value):
    (call,) = parse_sum(f"name(option={format_value(value)})")
    assert call.kwargs == {"option": value}


def test_fractions_words_and_tuples():
    (call,) = parse_sum("f(8/255, TRUE, None, -3, (1,), [a, 'b c'])")
    assert call.args == (8 / 255, True, None, -3, (1,), ("a", "b c"))


def test_a_model_is_written_with_named_options():
    assert parse_call("inception(filters=(8, 16, 8), pooled=true)") == (
        "inception",
        {"filters": (8, 16, 8), "pooled": True},
    )
    with pytest.raises(ReglabError, match="gives a value without its name"):
        parse_call("inception(true)")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_by_an_error_of_ours(text):
    with contextlib.suppress(ReglabError):
        assert all(call.name.isidentifier() for call in parse_sum(text))


def test_schedules_by_hand():
    assert [Linear(0.0, 1.0, 4).at(e) for e in (0, 1, 4, 9)] == [0.0, 0.25, 1.0, 1.0]
    assert Cosine(1.0, 0.0, 2).at(1) == pytest.approx(0.5)
    assert [Cosine(1.0, 0.0, 2).at(e) for e in (0, 2, 5)] == [1.0, 0.0, 0.0]


@given(numbers, numbers, st.integers(1, 60), st.integers(0, 100), st.sampled_from([Linear, Cosine]))
def test_a_schedule_stays_between_its_ends_and_reaches_them(start, end, epochs, epoch, kind):
    schedule = kind(start, end, epochs)
    assert min(start, end) <= schedule.at(epoch) <= max(start, end)
    assert schedule.at(0) == start
    assert schedule.at(epochs) == schedule.at(epochs + 5) == end


@pytest.mark.parametrize("schedule", [Linear(0.0, 1e-3, 5), Cosine(1.0, 0.5, 3), Steps((0.1, 0.01), (5,))])
def test_schedules_are_read_back(schedule):
    (call,) = parse_sum(schedule.to_text())
    assert from_call(call) == schedule


@pytest.mark.parametrize(
    "text", ["linear(0, 1)", "linear(0, 1, -1)", "linear(a, 1, 2)", "steps((1, 2), (3, 4))", "up(1)"]
)
def test_schedules_that_are_none(text):
    (call,) = parse_sum(text)
    with pytest.raises(ReglabError):
        from_call(call)


def test_streams_are_told_apart_by_every_part_of_their_name():
    seeds = {
        derive(seed, *names) for seed in range(50) for names in ((), ("a",), ("b",), ("a", "b"), ("ab",), ("a", 1))
    }
    assert len(seeds) == 300
    assert derive(3, "batches") == derive(3, "batches")
    assert all(0 <= seed < 2**31 for seed in seeds)
