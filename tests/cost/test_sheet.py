"""The cost sheet of a config, and bad input."""

import re

import jax
import pytest

from refvae_jax import __main__
from refvae_jax.cost import chips, program, sheet
from refvae_jax.errors import UserError
from refvae_jax.training import devices

SMOKE = "--config=configs/quickstart.py:smoke"


def test_topologies():
    assert chips.parse("v5e:4x8") == chips.Topology(chips.CHIPS["v5e"], "4x8", 32)
    assert chips.parse("v4:2x2x4") == chips.Topology(chips.CHIPS["v4"], "2x2x4", 16)
    assert chips.parse("h100:8") == chips.Topology(chips.CHIPS["h100"], "", 8)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--topology=v5:2x2"], r"no chip 'v5' for --topology.*Did you mean 'v5"),
        (["--topology=v5e"], r"does not say how many chips: write v5e:2x2"),
        (["--topology=v5e:0"], "does not say how many chips"),
        (["--topology=v5e:4x4x4"], "TPU v5e chips are placed along 2 axes, as in v5e:2x2"),
        (["--topology=h100:2x2"], "H100 SXM chips have no places, only a number: h100:8"),
        (["--topology=h100:1", "--batch_size=0"], "config.batch_size is 0 but must be"),
        (["--topology=h100:1", "--config.batchsize=3"], "no field 'batchsize'"),
        (["--topology=h100:1", "left"], "Unexpected argument 'left'"),
    ],
)
def test_bad_input_is_one_sentence(flags, words, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["refvae", "cost", SMOKE, *flags])  # config_flags looks there.
    assert __main__.main(["cost", SMOKE, *flags]) == 2
    printed = capsys.readouterr()
    assert re.search(words, printed.err) and printed.err.count("\n") == 1 and not printed.out


def test_without_libtpu_an_estimate_is_offered(monkeypatch):
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '.\[tpu\]', or take --topology=v5e:16"):
        program.tpu_mesh(chips.parse("v5e:4x4"))


def test_a_program_larger_than_the_chip_does_not_fit():
    fits = program.Program(1e9, 1e9, 2 * 10**9, 13 * 10**9, (), (), None)
    large = fits._replace(temporaries=15 * 10**9)
    for topology, verdict in ("v5e:2x2", "does not fit"), ("v5e:4", "may not fit"):
        v5e = chips.parse(topology)
        assert sheet.memory_lines(fits, v5e) == ["memory: 15.00 GB of the chip's 16 GB"]
        (line,) = sheet.memory_lines(large, v5e)
        assert line.startswith(f"memory: 17.00 GB of the chip's 16 GB, so it {verdict}: take ")


def test_where_the_compiler_runs_out_of_memory_it_is_one_sentence(monkeypatch):
    class Lowered:
        def compile(self, options):
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 44.70G of 15.75G.\nSee more.")

    monkeypatch.setattr(program, "lower", lambda *_: (Lowered(), ()))
    mesh = devices.make_mesh(jax.devices()[:1])
    with pytest.raises(
        UserError, match=r"44.70G of 15.75G. This does not fit: take fewer .*True.$"
    ):
        program.compile_step(None, mesh, "tpu")


def test_after_one_chip_the_sheet_says_how_to_ask_for_several():
    assert sheet.more_lines("v5e:2x2", 32) == sheet.more_lines("h100:8", 32) == []
    for one, several in (
        ("v5e:1x1", "v5e:2x2 --batch_size=128"),
        ("a100:1", "a100:8 --batch_size=256"),
    ):
        (line,) = sheet.more_lines(one, 32)
        assert line.endswith(f"--topology={several}")


@pytest.mark.slow
def test_an_estimate_for_gpus_has_every_line(verb):
    printed = verb("cost", SMOKE, "--topology=h100:2", "--batch_size=8").stdout
    assert "gmvae on digits5k, 8 images per step, float32, mapped by jit" in printed
    assert "h100:2: 2 x H100 SXM, estimated from XLA's program on this host" in printed
    for line in ("FLOPs", "memory traffic", "arguments", "temporaries", "all-reduce"):
        assert float(re.search(rf"  {line} +([\d.,]+) (G|MB)", printed)[1].replace(",", "")) > 0
    assert not re.search("collective-permute|all-to-all", printed)
    assert re.search(r"\n +256 +1,024 +[\d,]+ +[\d.]+ +[\d.]+ %\n", printed)
    refused = verb("cost", SMOKE, "--topology=h100:3", status=2).stderr
    assert "batch_size 32 does not divide among 3 devices" in refused


@pytest.mark.slow
def test_on_this_host_the_prediction_is_compared_with_the_step(verb):
    printed = verb("cost", SMOKE, "--topology=cpu").stdout
    predicted, measured = (
        float(re.search(rf"{name} step: +([\d.,]+) ms", printed)[1].replace(",", ""))
        for name in ("predicted", "measured")
    )
    error = int(re.search(r"error of the prediction: ([+-]\d+) %", printed)[1])
    assert error == pytest.approx(100 * (predicted / measured - 1), abs=2)
