"""Time, disk and memory that decoding a data set into the cache takes, and would take for more.

python benchmarks/preparation.py --config=configs/celeba_gmvae.py --images=202599
python benchmarks/preparation.py --config=configs/folder_gmvae.py --made=20000

Decodes the training split into a new cache in a temporary directory. The time includes reading
labels and headers, but not imports. More images do not take more memory: it is bounded by the
images decoded at a time.
"""

import importlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from absl import flags

from benchmarks import command
from benchmarks.pictures import own_or_made
from benchmarks.worker import memory
from refvae_jax.data.cache import open_split
from refvae_jax.data.readers.source import FOLDER_DATASET
from refvae_jax.data.readers.tf_cpu import import_tensorflow

IMAGES = flags.DEFINE_integer("images", 202_599, "What to extrapolate to; default CelebA's.", 1)


def measure(config):
    """Prepares once and prints the report."""
    with own_or_made(config) as config, tempfile.TemporaryDirectory() as cache:
        config.data.cache_dir = cache
        if config.data.name != FOLDER_DATASET:
            import_tensorflow()
            importlib.import_module("tensorflow_datasets")
        before, since = memory("VmHWM"), time.perf_counter()
        count, *shape = open_split(config.data, "train").image.shape
        seconds = time.perf_counter() - since
        peak = memory("VmHWM")
        size = sum(path.stat().st_size for path in Path(cache).rglob("*.npy"))

    print(f"prepared {count:,} images {' x '.join(map(str, shape))} in {seconds:.1f} s")
    print(f"{count / seconds:.0f} images/s")
    print(f"{size / count:.0f} bytes per image on disk")
    print(f"peak memory {peak:.0f} MB, {before:.0f} MB of it before")
    share = IMAGES.value / count
    print(f"{IMAGES.value:,} images: {seconds * share:.0f} s, {size * share / 1e9:.2f} GB on disk")


if __name__ == "__main__":
    sys.exit(command.run(sys.argv, measure))
