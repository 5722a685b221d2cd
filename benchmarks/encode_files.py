"""How many image files per second `refvae encode` encodes, and in how much memory.

python benchmarks/encode_files.py --config=configs/celeba_gmvae.py:cpu --images=10000

Writes made PNGs of the config's resolution into a temporary directory and encodes them into a .npz
with an untrained model. Start-up is not counted: the first images are encoded once before.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import jax
import numpy as np
from absl import flags
from PIL import Image

from benchmarks import command
from benchmarks.worker import memory
from refvae_jax.apply import encode
from refvae_jax.apply.reading import Inputs
from refvae_jax.data.readers.image_files import ImageForm, find_images
from refvae_jax.methods import METHODS
from refvae_jax.methods.base import DataInfo
from refvae_jax.model import CHUNK, Model
from refvae_jax.training.setup import initial_variables

IMAGES = flags.DEFINE_integer("images", 10_000, "Files to encode.", 1)
FIRST = 4 * CHUNK  # Images encoded before the clock starts.
COARSE = 8  # Pixels of the noise that a picture is enlarged from.
GRAIN = 6  # Grey levels of the noise on top, which keeps a PNG as large as a photograph's.


def write_pictures(folder, count, side):
    """Writes `count` colour PNGs."""
    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (COARSE, COARSE, 3), np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC), int)
        pixels = smooth + rng.integers(-GRAIN, GRAIN + 1, smooth.shape)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:06}.png")


def untrained(config):
    """A Model with the initial parameters."""
    shape = (config.data.resolution, config.data.resolution, 3)
    info = DataInfo(shape, 1, jax.default_backend())
    method = METHODS[config.method.name](config, info)
    return Model(method, initial_variables(method, config.seed), ImageForm(shape, config.data.crop))


def encode_files(model, paths, out):
    """Encodes as the command does; returns (seconds, seconds of all CPUs together)."""
    since, used = time.perf_counter(), time.process_time()
    inputs = Inputs(model, paths)
    encode.write_npz(encode.codes(model, inputs), len(paths), out)
    return time.perf_counter() - since, time.process_time() - used


def measure(config):
    """Encodes once and prints the report."""
    model = untrained(config)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        write_pictures(Path(folder, "in"), IMAGES.value, config.data.resolution)
        paths = find_images([f"{folder}/in"])
        encode_files(model, paths[:FIRST], Path(folder, "first.npz"))
        before = memory("VmHWM")
        seconds, used = encode_files(model, paths, Path(folder, "codes.npz"))
        size = sum(path.stat().st_size for path in paths) / len(paths)
    print(f"encoded {len(paths):,} PNGs of {size / 1000:.1f} kB in {seconds:.1f} s")
    print(
        f"{len(paths) / seconds:.0f} images/s, {used / len(paths) * 1000:.2f} ms of CPU per image"
    )
    print(f"peak memory {memory('VmHWM'):.0f} MB, {before:.0f} MB of it after {FIRST} images")


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
