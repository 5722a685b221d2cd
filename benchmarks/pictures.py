"""Made pictures on disk, for a config whose own data set is not there.

with own_or_made(config) as config: ...  # --made=N: N pictures in a temporary folder.
"""

import contextlib
import copy
import io
import tempfile
from pathlib import Path

import numpy as np
from absl import flags
from PIL import Image

from refvae_jax.data.readers import presets

MADE = flags.DEFINE_integer("made", 0, "Made pictures in place of the data set; 0 = its own.", 0)
SIZE = (178, 218)  # Width and height, CelebA's.
GROUP = 20  # Pictures per group.
KINDS = 50  # Different pictures: enough that decoding is not faster for repeated ones.


@contextlib.contextmanager
def own_or_made(config):
    """Yields the config, or with --made=N a copy whose data are N made pictures.

    These are smooth colour JPEGs in a folder that exists as long as the context.
    """
    if not MADE.value:
        yield config
        return
    config = copy.deepcopy(config)
    with tempfile.TemporaryDirectory() as folder:
        resolution = config.data.resolution
        presets.choose(config.data, "folder")
        config.data.update({"dir": f"{folder}/pictures", "cache_dir": f"{folder}/cache"})
        config.data.resolution = resolution
        if config.data.reference_split:
            config.data.reference_split = "reference"
        write_pictures(Path(folder, "pictures"), MADE.value, bool(config.data.reference_split))
        yield config


def write_pictures(root, count, reference):
    """Writes `count` JPEGs into folders of GROUP; with `reference` every other one is reference."""
    rng = np.random.default_rng(0)
    files = [_jpeg(rng) for _ in range(KINDS)]
    for i in range(count):
        top = ("reference", "unlabelled")[i % 2] if reference else "."
        folder = root / top / f"{i // GROUP:06}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i:07}.jpg").write_bytes(files[i % KINDS])


def _jpeg(rng):
    """The bytes of a JPEG, about as many as of a photograph of this size."""
    coarse = Image.fromarray(rng.integers(0, 256, (24, 20, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize(SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()
