"""Batches as a function of the step, from sets of different sizes."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from refvae_jax.data import pipeline
from refvae_jax.data.pipeline import indexed_batches
from refvae_jax.errors import UserError

SIZES = {"unlabelled": 50, "reference": 20}


@pytest.fixture
def sets():
    """Images filled with their own row number, and the row beside them."""

    def rows(size):
        row = np.arange(size, dtype=np.int32)
        image = np.broadcast_to(row[:, None, None, None], (size, 4, 4, 1)).astype(np.uint8)
        return {"image": image, "row": row}

    return {name: rows(size) for name, size in SIZES.items()}


OPTIONS = {"batch_size": 10, "seed": 3, "first_step": 0, "num_steps": 15}


def batches(sets, **changes):
    return list(indexed_batches(sets, **{**OPTIONS, **changes}))


def assert_same(found, expected):
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        for name in expected[0]:
            np.testing.assert_array_equal(a[name]["image"], b[name]["image"])
            np.testing.assert_array_equal(a[name]["row"], b[name]["row"])


def test_fields_of_a_set_stay_together(sets):
    found = batches(sets)
    assert len(found) == 15
    for batch in found:
        assert batch.keys() == SIZES.keys()
        for part in batch.values():
            assert part["image"].shape == (10, 4, 4, 1) and part["image"].dtype == np.uint8
            np.testing.assert_array_equal(part["image"][:, 0, 0, 0], part["row"])


@pytest.mark.parametrize("name", SIZES)
def test_each_set_has_its_own_epochs(sets, name):
    size = SIZES[name]
    drawn = np.concatenate([batch[name]["row"] for batch in batches(sets)])
    rows = drawn[: len(drawn) // size * size].reshape(-1, size)
    assert len(rows) == 150 // size
    np.testing.assert_array_equal(np.sort(rows, axis=1), np.tile(np.arange(size), (len(rows), 1)))
    assert np.any(rows[0] != rows[1])


def test_sets_of_one_size_have_different_orders(sets):
    twins = {"a": sets["reference"], "b": sets["reference"]}
    assert any(np.any(batch["a"]["row"] != batch["b"]["row"]) for batch in batches(twins))


@pytest.mark.parametrize("process_count", [1, 2])
def test_others_are_the_images_of_the_next_steps(sets, process_count):
    """So they are none of the batch's but where an epoch ends; and the batch is as without them."""
    alone = batches(sets, num_steps=17)
    parts = [
        batches(sets, num_others=20, process_index=i, process_count=process_count)
        for i in range(process_count)
    ]
    for n, step in enumerate(zip(*parts, strict=True)):
        for name in SIZES:
            found = np.concatenate([part[name]["row"] for part in step])
            np.testing.assert_array_equal(found, alone[n][name]["row"])
            others = np.concatenate([part["others"][name]["row"] for part in step])
            following = np.concatenate([alone[n + i][name]["row"] for i in (1, 2)])
            np.testing.assert_array_equal(others, following)


def test_no_batch_waits_for_tensorflow(sets, monkeypatch):
    expected = batches(sets)
    loaded, load = threading.Event(), pipeline.import_tensorflow
    monkeypatch.setattr(pipeline, "import_tensorflow", lambda: loaded.wait(60) and load())
    rest = indexed_batches(sets, **OPTIONS)
    first = [next(rest) for _ in range(5)]
    loaded.set()
    assert_same([*first, *rest], expected)


@pytest.mark.parametrize("first_step", [1, 4, 14, 15])
def test_resuming_gives_the_tail(sets, first_step):
    assert_same(batches(sets, first_step=first_step), batches(sets)[first_step:])


def test_process_slices_concatenate_to_the_global_batch(sets):
    parts = [batches(sets, process_index=i, process_count=2) for i in range(2)]
    joined = [
        {
            name: {
                field: np.concatenate([part[name][field] for part in step])
                for field in ("image", "row")
            }
            for name in SIZES
        }
        for step in zip(*parts, strict=True)
    ]
    assert_same(joined, batches(sets))


def test_batch_size_that_processes_cannot_share(sets):
    with pytest.raises(UserError, match=r"10.*3 processes"):
        batches(sets, process_count=3)


def test_batch_larger_than_the_smallest_set(sets):
    with pytest.raises(UserError, match=r"21.*20 images"):
        batches(sets, batch_size=21)


@pytest.mark.slow
def test_a_process_can_end_in_the_middle_of_a_run():
    code = (
        "import numpy as np\n"
        "from refvae_jax.data.pipeline import indexed_batches\n"
        "sets = {'a': {'image': np.zeros((2000, 64, 64, 3), np.uint8)}}\n"  # Batches take a while.
        "batches = indexed_batches(sets, batch_size=2000, seed=0, first_step=0, num_steps=99)\n"
        "next(batches)\n"
    )
    env = {**os.environ, "PYTHONPATH": ":".join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=120)
