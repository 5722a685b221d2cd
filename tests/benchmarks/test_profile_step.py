"""How the profile of a step counts times and finds layers."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import profile_step
from benchmarks.our_step import OurStep
from refvae_jax.networks.strided import Decoder, Encoder


def test_what_an_operation_calls_is_not_its_own_time():
    events = [("loop", 0, 10), ("a", 1, 3), ("b", 4, 5), ("a", 5, 2), ("c", 10, 1)]
    assert profile_step.self_times(events) == {"loop": 2, "a": 5, "b": 3, "c": 1}


class Event:
    def __init__(self, step, name, start, duration):
        self.stats = [("run_id", step), ("hlo_op", name)] if name else [("thread", 1)]
        self.start_ns, self.duration_ns = start, duration


def test_of_several_steps_the_fastest_counts_for_each_operation():
    main = [Event(1, "a", 0, 5), Event(1, "b", 6, 9), Event(2, "a", 20, 7), Event(2, "b", 30, 4)]
    other = [Event(1, "b", 0, 1), Event(2, "b", 30, 2), Event(None, None, 0, 50)]
    assert profile_step.fastest([main, other]) == {"a": 5, "b": 6}


@pytest.mark.parametrize(
    ("op_name", "expected"),
    [
        ("jit(f)/jvp(Decoder)/Conv_0/Conv_0._function/output/dot", ("Decoder/Conv_0", "output")),
        (
            "jit(f)/transpose(jvp(Decoder))/Conv_0/Conv_0._function/kernel_gradient/while/body/dot",
            ("Decoder/Conv_0", "kernel gradient"),
        ),
        ("jit(f)/transpose(jvp(Decoder))/style/dot_general", ("Decoder/style", "gradient")),
        ("jit(f)/jvp(Decoder)/jit(relu)/max", ("Decoder", "output")),
        ("jit(f)/jvp(Decoder)/Conv_01/dot", ("Decoder", "output")),
        ("jit(f)/jvp()/add", (profile_step.OTHER, "")),
        ("", (profile_step.OTHER, "")),
    ],
)
def test_the_place_of_an_operation(op_name, expected):
    assert profile_step.place(op_name, ["Decoder", "Decoder/Conv_0", "Decoder/style"]) == expected


def test_names_of_operations_in_a_program():
    hlo = """
  %add.1 = f32[2]{0} add(%a, %b), metadata={op_type="x" op_name="jit(f)/add" stack_frame_id=1}
  ROOT %copy-done.2 = f32[2]{0} copy(%add.1)
"""
    assert profile_step.op_names(hlo) == {"add.1": "jit(f)/add"}


def test_flops_of_layers():
    encoder = Encoder((4,), {"content": 3}, "cpu")
    decoder = Decoder(2, (5,), 1, "cpu")
    image, code = jnp.ones((6, 16, 16, 1)), {"content": jnp.ones((6, 3))}

    def update(state, batch):
        encoder.init(jax.random.key(0), batch, train=False)
        decoder.init(jax.random.key(0), code, train=False)

    flops = profile_step.flops_of(OurStep(update, None, None, lambda: image, 0.0))
    assert {name: count for name, count in flops.items() if count} == {
        "Encoder/Conv_0": 2 * 6 * 8 * 8 * 25 * 4,
        "Encoder/content": 2 * 6 * 8 * 8 * 4 * 6,
        "Decoder/content": 2 * 6 * 3 * 8 * 8 * 2,
        "Decoder/ConvTranspose_0": 2 * 6 * 8 * 8 * 16 * 2 * 5,
        "Decoder/Conv_0": 2 * 6 * 16 * 16 * 25 * 5,
    }
    assert "Decoder/BatchNorm_0" in flops
