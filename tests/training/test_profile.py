"""Which steps are traced, and that the trace can be read."""

import contextlib

import jax
import jax.numpy as jnp
import pytest

from refvae_jax.training.profile import Profile


def traced(config, tmp_path, monkeypatch, calls, first=0):
    """The last steps of the calls (their numbers of steps) that ran while a trace was open."""
    seen, running = [], []

    @contextlib.contextmanager
    def trace(folder):
        running.append(folder)
        yield
        running.clear()

    monkeypatch.setattr(jax.profiler, "trace", trace)
    step = first
    with contextlib.closing(Profile(config, tmp_path)) as profile:
        for number in calls:
            profile.start_if_due(step, number)
            step += number
            if running:
                assert running == [str(tmp_path / "profile")]
                seen.append(step)
            profile.stop_if_due(step, jnp.zeros(()))
    assert not running, "what was started is ended"
    return seen


@pytest.mark.parametrize(
    ("first_step", "num_steps", "calls", "first", "expected"),
    [
        (3, 2, [1] * 8, 0, [3, 4]),
        (1, 1, [1] * 3, 0, [1]),
        (3, 2, [4] * 3, 0, [4]),
        (4, 2, [4] * 3, 0, [4, 8]),
        (10, 0, [10] * 3, 0, []),
        (3, 2, [1] * 3, 4, []),
        (3, 9, [1] * 3, 5, [6, 7, 8]),
    ],
)
def test_whole_calls_with_any_of_the_steps_are_traced(
    config, tmp_path, monkeypatch, first_step, num_steps, calls, first, expected
):
    config.profile.first_step, config.profile.num_steps = first_step, num_steps
    assert traced(config, tmp_path, monkeypatch, calls, first) == expected


def test_the_trace_has_what_ran(config, tmp_path, capsys):
    config.profile.first_step, config.profile.num_steps = 1, 1

    @jax.jit
    def named_in_the_trace(x):
        return jnp.sort(x)

    with contextlib.closing(Profile(config, tmp_path)) as profile:
        profile.start_if_due(0, 1)
        profile.stop_if_due(1, named_in_the_trace(jnp.arange(5)))
    (file,) = (tmp_path / "profile" / "plugins" / "profile").glob("*/*.xplane.pb")
    assert b"named_in_the_trace" in file.read_bytes()
    assert "profile of the steps 1 to 1" in capsys.readouterr().out
