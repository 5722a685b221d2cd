"""The formulae of a prediction, by hand."""

import numpy as np
import pytest

from refvae_jax.cost import estimate
from refvae_jax.cost.chips import CHIPS, Chip
from refvae_jax.cost.collectives import Collective
from refvae_jax.cost.program import Program

# 1 TFLOP/s, 1 GB/s of memory and 1 MB/s of links.
CHIP = Chip("made", "tpu", {"float32": 1e12}, 1e9, 1e9, 1e6, 2, 256, 0.0, "nowhere")


def program(flops, traffic, *sent):
    return Program(flops, traffic, 0, 0, tuple(Collective(*one) for one in sent), (), None)


def test_the_roofline_is_the_slower_of_compute_and_memory():
    assert estimate.roofline(program(3e12, 1e9), CHIP, "float32") == (3.0, 1.0)
    rows = estimate.predict(
        program(3e12, 1e9), CHIP, "float32", batch_size=30, num_chips=2, num_images=36_000
    )
    assert [row.chips for row in rows] == [1, 4, 16, 64, 256]
    for row in rows:  # Nothing is sent: 15 images on each chip every 3 s.
        assert row.batch_size == 15 * row.chips
        assert row.images_per_second == pytest.approx(5 * row.chips)
        assert row.chip_hours == pytest.approx(2)
        assert row.efficiency == 1


def test_an_all_reduce_goes_round_twice_and_what_is_gathered_grows_with_the_chips():
    reduced, gathered = ("all-reduce", 3_000_000), ("all-gather", 1_000_000)
    hops = 16 * estimate.HOP  # Half of both sides of 16x16.
    alone = estimate.collective_seconds(program(0, 0, reduced).collectives, 4, CHIP, 256)
    assert alone == pytest.approx(2 * (3 * 255 / 256 + hops))
    alone = estimate.collective_seconds(program(0, 0, gathered).collectives, 4, CHIP, 256)
    assert alone == pytest.approx(64 * 255 / 256 + hops)
    both = program(4e12, 0, reduced, gathered)
    assert estimate.collective_seconds(both.collectives, 4, CHIP, 1) == 0
    rows = estimate.predict(both, CHIP, "float32", batch_size=4, num_chips=4, num_images=4)
    sent = [estimate.collective_seconds(both.collectives, 4, CHIP, row.chips) for row in rows]
    np.testing.assert_allclose([row.efficiency for row in rows], 4 / (4 + np.array(sent)))


def test_a_program_for_one_chip_predicts_one_chip_only():
    alone = program(3e12, 1e9)
    rows = estimate.predict(alone, CHIP, "float32", batch_size=15, num_chips=1, num_images=15)
    assert [(row.chips, row.batch_size, row.efficiency) for row in rows] == [(1, 15, 1)]


def test_a_sum_is_scattered_at_half_the_price_of_an_all_reduce():
    """Each of four devices is left with a quarter of it."""
    summed = (Collective("all-reduce", 10**9),)
    scattered = (Collective("reduce-scatter", 10**9 // 4),)
    for count in (4, 64):
        whole = estimate.collective_seconds(summed, 4, CHIP, count)
        assert estimate.collective_seconds(scattered, 4, CHIP, count) == pytest.approx(whole / 2)


def test_gpus_of_several_nodes_send_over_the_network():
    sent = (Collective("all-to-all", 10**9),)
    chip = CHIPS["h100"]
    inside = estimate.collective_seconds(sent, 8, chip, 8)
    across = estimate.collective_seconds(sent, 8, chip, 16)
    assert inside == pytest.approx(7 / 8 / 450 + 3 * estimate.HOP)
    assert across == pytest.approx(15 / 16 / 50 + 4 * estimate.HOP)
