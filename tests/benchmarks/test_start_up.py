"""The clock of the parts of a run, and the table of two runs."""

import importlib
import types

import pytest

from benchmarks import start_up, timed_launch


@pytest.fixture
def now():
    """The time that the clock tells; tests let it pass."""
    return types.SimpleNamespace(clock=0.0, cpu=0.0)


@pytest.fixture
def parts(now):
    return timed_launch.Parts("imports", lambda: (now.clock, now.cpu))


def test_time_is_charged_to_the_innermost_part_once(parts, now):
    def work(clock, then=lambda: None):
        now.clock += clock
        now.cpu += 2 * clock
        then()
        now.clock += clock

    inner = parts.timed("data", lambda: work(8))
    work(1, parts.timed("training", lambda: work(4, inner)))
    parts.charge()
    assert parts.seconds == {"imports": (2, 2), "training": (8, 8), "data": (16, 16)}


def test_a_part_that_fails_is_charged_and_left(parts, now):
    def fail():
        now.clock += 3
        raise ValueError

    with pytest.raises(ValueError):
        parts.timed("data", fail)()
    now.clock += 1
    parts.charge()
    assert parts.seconds == {"data": (3, 0), "imports": (1, 0)}


def test_every_part_is_a_row_and_its_function_is_there():
    for module, functions in timed_launch.PARTS.items():
        for name, part in functions.items():
            assert callable(getattr(importlib.import_module(module), name))
            assert part in start_up.ORDER


def test_the_table_adds_up():
    parts = {part: (2.0**i, 1.0) for i, part in enumerate(start_up.ORDER)}
    empty = {"parts": parts, "first_step": (4.5, 3.5), "compiled": 42}
    warm = empty | {"parts": {"figures": (7.0, 6.0)}, "compiled": 0}
    rows = {line[:34].strip(): line[34:].split() for line in start_up.table(empty, warm)}
    count = len(start_up.ORDER)
    assert rows["all"] == [f"{2**count - 1}.0", f"{count}.0", "7.0", "6.0"]
    assert rows["until the first step is done"] == ["4.5", "3.5", "4.5", "3.5"]
    assert rows["evaluation and figures"][2:] == ["7.0", "6.0"]
    assert rows["programs compiled"] == ["42", "0"]
