import subprocess
import sys

import numpy as np
import pytest

from refvae_jax.data import order
from refvae_jax.data.order import group_chunks, indices_from, shuffled


def sequence(num_items, *, batch_size=7, size=30, seed=0, name="a"):
    """The first items of the endless sequence."""
    steps, order_ = -(-num_items // batch_size), shuffled(size, seed, name)
    batches = [
        indices_from(n * batch_size, batch_size, size=size, order=order_) for n in range(steps)
    ]
    assert all(b.shape == (batch_size,) and b.dtype == np.int64 for b in batches)
    return np.concatenate(batches)[:num_items]


@pytest.mark.parametrize("batch_size", [1, 6, 7, 30])
def test_every_image_once_per_epoch(batch_size):
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
        "from refvae_jax.data.order import indices_from, shuffled;"
        "print(indices_from(35, 7, size=30, order=shuffled(30, 3, 'a')).tolist())"
    )
    env = {"PYTHONHASHSEED": "99", "PYTHONPATH": ":".join(sys.path)}
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env
    )
    here = indices_from(35, 7, size=30, order=shuffled(30, 3, "a")).tolist()
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


def orders():
    """Each kind of order, of 32 images in groups of 6 or 5."""
    groups = np.arange(32) % 6
    return [lambda: shuffled(32, 0, "a"), lambda: group_chunks(groups, 3, 0, "a")]


@pytest.mark.parametrize("make", orders())
def test_resuming_makes_one_permutation_however_late_the_step(monkeypatch, make):
    made = []
    monkeypatch.setattr(
        order, "make_rng", lambda *parts: made.append(parts) or np.random.default_rng(0)
    )
    for step in [0, 10**3, 10**9]:
        made.clear()
        indices_from(8 * step, 8, size=32, order=make())
        assert len(made) == 1


@pytest.mark.parametrize("make", orders())
def test_an_epoch_makes_its_permutation_once(monkeypatch, make):
    made = []
    real = order.make_rng
    monkeypatch.setattr(order, "make_rng", lambda *parts: made.append(parts) or real(*parts))
    same = make()
    for step in range(64):  # 14 epochs.
        indices_from(7 * step, 7, size=32, order=same)
    assert len(made) == len(set(made)) == 14


def test_changing_a_batch_changes_no_other():
    same = shuffled(30, 0, "a")
    indices_from(0, 7, size=30, order=same)[:] = 0
    assert len(set(indices_from(0, 7, size=30, order=same))) == 7


def make_groups(seed=0):
    """Groups of 1 to 25 members, in any order, with any ids, and 7 images without a group."""
    sizes = np.array([1, 9, 10, 11, 20, 25])
    groups = np.concatenate([np.repeat(900 + np.arange(6), sizes), np.full(7, -1)])
    return np.random.default_rng(seed).permutation(groups)


def runs_of(sequence):
    """[(group, length)] of neighbours of the same group."""
    ends = np.flatnonzero(np.diff(sequence)) + 1
    return [(int(part[0]), len(part)) for part in np.split(sequence, ends)]


def test_chunks_hold_every_image_once_and_keep_members_together():
    groups = make_groups()
    made = group_chunks(groups, 10, 0, "a")
    for epoch in range(20):
        rows = made(epoch)
        np.testing.assert_array_equal(np.sort(rows), np.arange(len(groups)))
        found = runs_of(groups[rows])
        for group, size in zip(range(900, 906), [1, 9, 10, 11, 20, 25], strict=True):
            lengths = [n for g, n in found if g == group]
            # Whole tens and one rest, which may come to lie next to each other.
            assert sum(lengths) == size and len(lengths) <= -(-size // 10)
            assert all(n % 10 in (0, size % 10) for n in lengths)
        assert sum(n for g, n in found if g == -1) == 7


def test_chunks_are_drawn_again_in_every_epoch():
    groups = make_groups()
    made = group_chunks(groups, 10, 0, "a")
    twins = group_chunks(groups, 10, 0, "a")
    np.testing.assert_array_equal(made(3), twins(3))
    for other in (
        made(1),
        group_chunks(groups, 10, 1, "a")(0),
        group_chunks(groups, 10, 0, "b")(0),
    ):
        assert np.mean(made(0) == other) < 0.2
    # Which members share a chunk changes too: those of the group of 20.
    members = np.flatnonzero(groups == 904)
    halves = [set(made(epoch)[np.isin(made(epoch), members)][:10]) for epoch in range(4)]
    assert len({frozenset(half) for half in halves}) == 4


def test_images_without_a_group_are_scattered():
    groups = np.concatenate([np.full(50, 3), np.full(50, -1)])
    rows = group_chunks(groups, 10, 0, "a")(0)
    assert len([g for g, _ in runs_of(groups[rows]) if g == -1]) > 3
