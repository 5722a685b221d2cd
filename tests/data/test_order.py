import subprocess
import sys

import numpy as np
import pytest

from refvae_jax.data import order
from refvae_jax.data.order import batch_indices
from refvae_jax.errors import UserError


def sequence(num_items, *, batch_size=7, size=30, seed=0, name="a"):
    """The first items of the endless sequence."""
    steps = -(-num_items // batch_size)
    batches = [
        batch_indices(n, batch_size=batch_size, size=size, seed=seed, name=name)
        for n in range(steps)
    ]
    assert all(b.shape == (batch_size,) and b.dtype == np.int64 for b in batches)
    return np.concatenate(batches)[:num_items]


@pytest.mark.parametrize("batch_size", [1, 6, 7, 30])
def test_every_image_once_an_epoch(batch_size):
    epochs = sequence(5 * 30, batch_size=batch_size).reshape(5, 30)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(30), (5, 1)))


def test_the_sequence_does_not_depend_on_the_batch_size():
    np.testing.assert_array_equal(sequence(90, batch_size=7), sequence(90, batch_size=10))


def test_order_differs_by_epoch_seed_and_name():
    epochs = sequence(60).reshape(2, 30)
    others = [epochs[1], sequence(30, seed=1), sequence(30, name="b"), sequence(30, seed=-1)]
    for other in others:
        assert np.sum(epochs[0] == other) < 10  # Chance: 1 of 30 equal on average.


def test_order_is_the_same_in_another_process():
    code = (
        "from refvae_jax.data.order import batch_indices;"
        "print(batch_indices(5, batch_size=7, size=30, seed=3, name='a').tolist())"
    )
    env = {"PYTHONHASHSEED": "99", "PYTHONPATH": ":".join(sys.path)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    here = batch_indices(5, batch_size=7, size=30, seed=3, name="a").tolist()
    assert out.stdout.strip() == str(here)


def test_every_image_is_equally_likely_at_every_position():
    size, epochs = 10, 2000
    items = sequence(size * epochs, batch_size=10, size=size).reshape(epochs, size)
    counts = np.stack([np.bincount(items[:, j], minlength=size) for j in range(size)])
    expected = epochs / size
    chi_square = np.sum((counts - expected) ** 2) / expected
    # (size - 1)^2 = 81 degrees of freedom: mean 81, standard deviation 12.7.
    assert 81 - 5 * 12.7 < chi_square < 81 + 5 * 12.7


def test_consecutive_epochs_are_independent():
    items = sequence(10 * 2000, batch_size=10, size=10).reshape(-1, 10)
    same = np.mean(items[1:] == items[:-1])
    assert abs(same - 0.1) < 0.01


def test_resuming_makes_one_permutation_however_late_the_step(monkeypatch):
    made = []
    monkeypatch.setattr(
        order, "make_rng", lambda *parts: made.append(parts) or np.random.default_rng(0)
    )
    for step in [0, 10**3, 10**9]:
        order._permutation.cache_clear()
        made.clear()
        batch_indices(step, batch_size=8, size=32, seed=0, name="a")
        assert len(made) == 1
    order._permutation.cache_clear()  # The permutations above are not the real ones.


def test_an_epoch_makes_its_permutation_once(monkeypatch):
    made = []
    real = order.make_rng
    monkeypatch.setattr(order, "make_rng", lambda *parts: made.append(parts) or real(*parts))
    order._permutation.cache_clear()
    for step in range(60):  # Two sets side by side, 14 epochs each.
        batch_indices(step, batch_size=7, size=30, seed=0, name="a")
        batch_indices(step, batch_size=7, size=30, seed=0, name="b")
    assert len(made) == len(set(made)) == 28
    assert order._permutation.cache_info().currsize <= 4


def test_a_batch_is_the_callers_own():
    batch_indices(0, batch_size=7, size=30, seed=0, name="a")[:] = 0
    assert len(set(batch_indices(0, batch_size=7, size=30, seed=0, name="a"))) == 7


def test_batch_larger_than_the_set():
    with pytest.raises(UserError, match=r"31.*30 images"):
        batch_indices(0, batch_size=31, size=30, seed=0, name="a")
