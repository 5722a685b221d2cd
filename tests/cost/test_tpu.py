"""The step of every method, with small networks, as libtpu compiles it for four TPU chips."""

import functools
import importlib.util
import json
import os
import subprocess
import sys

import pytest

from refvae_jax.methods import METHODS
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("libtpu") is None,
        reason="libtpu is not installed: pip install '.[tpu]'",
    ),
]
PROGRAM = """
import importlib, json, re, sys
import jax
jax.config.update("jax_platforms", "cpu")
from refvae_jax.cost import chips, program

method, how, dtype = sys.argv[1:]
name = {"gmvae": "quickstart", "mlvae": "mnist_mlvae"}.get(method, f"reference_mnist_{method}")
config = importlib.import_module(f"configs.{name}").get_config("smoke")
config.parallel.map, config.dtype = how, dtype
# Fewer layers than the smoke forms have: most of the time is that of compiling convolutions.
group = method in ("gmvae", "mlvae")
config.data.resolution = 16 if group else 8
config.network.encoder_widths, config.network.decoder_widths = (4, 8), (8,)
mesh = program.tpu_mesh(chips.parse("v5e:2x2"))
found = program.compile_step(config, mesh, "tpu")
print(json.dumps({
    "batch": config.batch_size,
    "collectives": found.collectives,
    "flops": found.flops,
    "traffic": found.traffic,
    "convolutions": re.findall(r"= (\\w+)\\[[^ ]* convolution\\(", found.compiled.as_text()),
}))
"""


@functools.cache
def compiled(method, how, dtype):
    """What the program of four chips holds; in a process of its own, since libtpu may end it."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, method, how, dtype],
        env=os.environ | {"TPU_SKIP_MDS_QUERY": "1"},
        capture_output=True,
        text=True,
        timeout=900,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("how", ["jit", "pmap"])
@pytest.mark.parametrize("method", METHODS)
def test_chips_send_each_other_sums_and_codes_but_no_images(method, how):
    if (method, how) == ("mathieu", "pmap"):
        pytest.skip("mathieu is refused under pmap")
    found = compiled(method, how, "float32")
    kinds = {kind for kind, _ in found["collectives"]}
    if how == "pmap":
        assert kinds == {"all-reduce"}
    else:
        assert "all-reduce" in kinds
        assert kinds <= {"all-reduce", "all-gather", "reduce-scatter"}
    # Codes and labels: at most 2 x 16 numbers an image, of which 2 sets may be gathered at once.
    for kind, num_bytes in found["collectives"]:
        assert kind == "all-reduce" or num_bytes <= 4 * 64 * found["batch"]
    assert found["convolutions"] and found["flops"] > 0


def test_in_bfloat16_there_is_less_memory_traffic():
    exact, rough = (compiled("gmvae", "jit", dtype) for dtype in ("float32", "bfloat16"))
    assert rough["traffic"] < 0.75 * exact["traffic"]
