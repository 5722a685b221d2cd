"""The TFDS data set `cars3d`: renderings of 3D cars from all sides.

    import refvae_jax.data.builders.cars3d  # Registers the name.
    tfds.load("cars3d", split="train")

Reed, Zhang, Zhang, Lee: "Deep Visual Analogy-Making", NeurIPS 2015. The archive holds, among other
things, data/cars/list.txt, one car's name per line, and data/cars/NAME.mat, whose variable `im` is
uint8 (128, 128, 3, 24, 4): row, column, channel, azimuth, elevation. Images are resized to 64x64
(Pillow's bilinear filter, antialiased).

Of the archive's 183 cars 160 train and 23 test, as in the mixture paper, which does not say which:
they are drawn by a fixed seed (chosen). Of any other number of cars the same share is tested.
"""

import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image
from scipy import io as scipy_io

from refvae_jax.data.readers.resize import WHOLE, fit
from refvae_jax.data.readers.source import MANUAL_DIR
from refvae_jax.errors import UserError

ARCHIVE = "nips2015-analogy-data.tar.gz"
URL = f"http://www.scottreed.info/files/{ARCHIVE}"
ARCHIVE_DIR = "data/cars"
NUM_CARS, NUM_TEST = 183, 23
SHAPE = (128, 128, 3, 24, 4)
SIDE = 64
_SPLIT_SEED = 0  # Part of the data set: another one needs a new VERSION.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, OSError)


class Cars3d(tfds.core.GeneratorBasedBuilder):
    """96 images of each car, RGB uint8 64x64, with the car, its azimuth and its elevation.

    The label is the car's index in list.txt; azimuths are 15 degrees apart.
    """

    ARCHIVES: ClassVar = {ARCHIVE: URL}  # {file: where to download it}, for messages.
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012

    def _info(self) -> tfds.core.DatasetInfo:
        classes = {"label": NUM_CARS, "azimuth": SHAPE[3], "elevation": SHAPE[4]}
        features = {name: tfds.features.ClassLabel(num_classes=n) for name, n in classes.items()}
        image = tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="png")
        return tfds.core.DatasetInfo(
            builder=self,
            description="Renderings of 183 cars from 24 azimuths and 4 elevations.",
            features=tfds.features.FeaturesDict({"image": image, **features}),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        own = Path(self.data_dir_root, MANUAL_DIR, ARCHIVE)
        path = own if own.exists() else Path(dl_manager.download(URL))
        names = read_names(path)
        test = test_cars(len(names))
        places = {name: place for place, name in enumerate(names)}
        parts = {
            "train": {n: p for n, p in places.items() if p not in test},
            "test": {n: p for n, p in places.items() if p in test},
        }
        return {split: _examples(path, cars) for split, cars in parts.items()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        raise NotImplementedError("The splits come with their generators.")


def test_cars(count: int) -> set[int]:
    """Indices in list.txt of the test cars: 23 of 183, at least one."""
    order = np.random.Generator(np.random.PCG64(_SPLIT_SEED)).permutation(count)
    return set(order[: max(1, round(count * NUM_TEST / NUM_CARS))].tolist())


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yields (name, contents) of the files in ARCHIVE_DIR; nothing is unpacked on disk."""
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                inside = Path(member.name)
                file = archive.extractfile(member) if inside.parent == Path(ARCHIVE_DIR) else None
                if file is not None:  # None for what is no file.
                    yield inside.name, file.read()
    except _DAMAGE as error:
        raise UserError(
            f"{path} cannot be read to its end ({error}): it is incomplete or damaged. Download "
            f"{URL} again and put it there."
        ) from error


def read_names(path: Path) -> list[str]:
    """The cars of the archive in the order of list.txt.

    Raises:
      UserError: the archive is damaged or holds no cars.
    """
    for name, contents in _members(path):
        if name == "list.txt":
            names = contents.decode(errors="replace").split()
            if len(names) < 2:
                raise UserError(f"{ARCHIVE_DIR}/list.txt in {path} names fewer than two cars.")
            return names
    raise UserError(f"{path} holds no {ARCHIVE_DIR}/list.txt: it is not the archive of {URL}.")


def _examples(path: Path, cars: dict[str, int]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples of some cars, {name: label}, in the order of the archive."""
    missing = dict(cars)
    for file, contents in _members(path):
        name = file.removesuffix(".mat")
        if name not in missing:
            continue
        label = missing.pop(name)
        views = _views(path, file, contents)
        for azimuth, elevation in np.ndindex(*SHAPE[3:]):
            view = Image.fromarray(np.ascontiguousarray(views[..., azimuth, elevation]))
            yield (
                f"{name}_{azimuth}_{elevation}",
                {
                    "image": fit(view, WHOLE, SIDE),
                    "label": label,
                    "azimuth": azimuth,
                    "elevation": elevation,
                },
            )
    if missing:
        raise UserError(
            f"{path} has no {ARCHIVE_DIR}/{min(missing)}.mat, which its list.txt names: it is "
            f"incomplete. Download {URL} again and put it there."
        )


def _views(path: Path, file: str, contents: bytes) -> np.ndarray:
    """uint8 of SHAPE: the renderings of one car."""
    try:
        views = scipy_io.loadmat(io.BytesIO(contents), variable_names=["im"])["im"]
    except (KeyError, ValueError, TypeError, NotImplementedError, zlib.error, OSError) as error:
        raise UserError(f"{ARCHIVE_DIR}/{file} in {path} cannot be read: {error!r}.") from error
    if views.shape != SHAPE or views.dtype != np.uint8:
        raise UserError(
            f"'im' of {ARCHIVE_DIR}/{file} in {path} is {views.dtype} {list(views.shape)}, but "
            f"uint8 {list(SHAPE)} is expected."
        )
    return views
