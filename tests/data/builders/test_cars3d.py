"""The builder on an archive of three cars whose pixels encode what they show."""

import io
import socket
import tarfile

import numpy as np
import pytest
from scipy.io import savemat

from configs import default
from refvae_jax.data.builders import cars3d
from refvae_jax.data.cache import open_split
from refvae_jax.data.readers import presets
from refvae_jax.errors import UserError

CARS = ("car_001_mesh", "car_002_mesh", "car_004_mesh")


def mat(car, shape=cars3d.SHAPE):
    """Red says which car, green the azimuth, blue the elevation; the lower half is black."""
    im = np.zeros(shape, np.uint8)
    im[:64, :, 0] = 50 * car + 10
    im[:64, :, 1] = 10 * np.arange(shape[3])[:, None]
    im[:64, :, 2] = 20 * np.arange(shape[4])
    file = io.BytesIO()
    savemat(file, {"im": im}, do_compression=True)
    return file.getvalue()


@pytest.fixture(scope="module")
def files():
    cars = {f"data/cars/{name}.mat": mat(place) for place, name in enumerate(CARS)}
    return {"data/sprites/other.mat": b"x", **cars, "data/cars/list.txt": "\n".join(CARS).encode()}


def write(folder, files):
    target = folder / "downloads" / "manual" / cars3d.ARCHIVE
    target.parent.mkdir(parents=True)
    with tarfile.open(target, "w:gz", compresslevel=1) as archive:
        for name, contents in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(contents)
            archive.addfile(info, io.BytesIO(contents))
    return target


def data_config(folder):
    data = default.get_config().data
    presets.choose(data, "cars3d")
    data.update({"dir": str(folder), "cache_dir": str(folder / "cache"), "hold_out": 0.0})
    data.validation_split = "train"
    data.test_split, data.probe_train_split = "test", "test"
    return data


def test_every_image_shows_its_car_azimuth_and_elevation(files, tmp_path):
    write(tmp_path, files)
    data = data_config(tmp_path)
    train, test = open_split(data, "train"), open_split(data, "test")
    assert len(train.label) == 2 * 96 and len(test.label) == 96
    assert set(train.label) | set(test.label) == {0, 1, 2}
    assert not set(train.label) & set(test.label)
    assert tuple(train.factors.categorical_names) == ("azimuth", "elevation")
    for part in (train, test):
        shown = part.image[:, 10, 32].astype(int)
        np.testing.assert_array_equal(shown[:, 0], 50 * part.label + 10)
        np.testing.assert_array_equal(shown[:, 1:], part.factors.categorical * [10, 20])
        assert not part.image[:, 50].any()


def test_23_of_183_cars_are_held_out():
    test = cars3d.test_cars(183)
    assert len(test) == 23 and test <= set(range(183)) and test == cars3d.test_cars(183)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        ({"data/cars/list.txt": None}, r"holds no data/cars/list.txt"),
        (
            {"data/cars/list.txt": b"\xff\xfe car_001_mesh"},
            r"which its list.txt names: it is incom",
        ),
        ({"data/cars/car_002_mesh.mat": None}, r"no data/cars/car_002_mesh.mat"),
        ({"data/cars/car_002_mesh.mat": b"nonsense" * 100}, r"car_002_mesh.mat .* cannot be read"),
        ({"data/cars/car_002_mesh.mat": mat(1, (128, 128, 3, 2, 2))}, r"\[128, 128, 3, 2, 2\]"),
    ],
)
def test_bad_archive(files, tmp_path, harm, message):
    write(tmp_path, {n: c for n, c in (files | harm).items() if c is not None})
    with pytest.raises(UserError, match=message):
        for split in ("train", "test"):
            open_split(data_config(tmp_path), split)


def test_truncated_archive(files, tmp_path):
    path = write(tmp_path, files)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UserError, match=r"incomplete or damaged"):
        open_split(data_config(tmp_path), "train")


def test_missing_archive(tmp_path, monkeypatch):
    def no_address(host, port):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_address)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(UserError) as caught:
        open_split(data_config(tmp_path), "train")
    put = f"put {cars3d.ARCHIVE} from {cars3d.URL} into {tmp_path}/downloads/manual and run"
    assert put in str(caught.value) and "no network" in str(caught.value)
