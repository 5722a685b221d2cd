"""Arrays on disk, without reading them whole: a .npz, or a folder of .npy files.

arrays = open_arrays(Path("images.npz"))     # {"image": Stored, "label": Stored, ...}
for block in arrays["image"].blocks(): ...   # the next rows; of a memory map when they are used
"""

import math
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from refvae_jax.errors import UserError

SUFFIXES = (".npz", ".npy")
_BLOCK = 1 << 22  # Bytes read at a time.


class Stored(NamedTuple):
    """An array on disk."""

    where: str  # For messages.
    shape: tuple[int, ...]
    dtype: np.dtype
    blocks: Callable[[], Iterator[np.ndarray]]  # Parts [b, ...] of it in order, b bounded.

    def read(self) -> np.ndarray:
        """The whole array, in memory."""
        return np.concatenate([np.asarray(block) for block in self.blocks()])


def are_arrays(path: Path) -> bool:
    """Whether it is an existing .npz or .npy, or a folder that holds image.npy."""
    return (path.suffix in SUFFIXES and path.is_file()) or (path / "image.npy").is_file()


def check_not_single(path: Path) -> None:
    """Raises UserError for a .npy file, whose array has no name."""
    if path.suffix == ".npy" and path.is_file():
        raise UserError(
            f"{path} is a single array without a name: save it as image.npy in a folder, or as "
            f"`image` in a .npz with numpy.savez, and name that folder or .npz (of a run, with "
            f"--config.data.name=arrays)."
        )


def open_arrays(path: Path) -> dict[str, Stored]:
    """The arrays of a .npz or of the .npy files of a folder, by name.

    Raises:
      UserError: there is none, or it cannot be used.
    """
    check_not_single(path)
    if path.is_dir():
        files = sorted(path.glob("*.npy"))
        found = {file.stem: _mapped(file, _load(file)) for file in files}
        if not found:
            raise UserError(f"{path} holds no .npy files: put image.npy there.")
        return found
    if not path.is_file():
        raise UserError(
            f"There is no file {path}: set --config.data.dir to a .npz, or a folder of .npy files."
        )
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.endswith(".npy")]
            return {m.filename[: -len(".npy")]: _member(path, archive, m) for m in members}
    except zipfile.BadZipFile as error:
        raise UserError(f"{path} is no .npz: save one with numpy.savez. ({error})") from error


def state_of(path: Path) -> str:
    """A text that changes when the files that hold the arrays do.

    Raises:
      OSError: they are gone.
    """
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    infos = ((file.name, file.stat()) for file in files)
    return "; ".join(f"{name} {info.st_size} {info.st_mtime_ns}" for name, info in infos)


def _load(file: Path) -> np.ndarray:
    try:
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise UserError(f"{file} cannot be used ({error}): save it with numpy.save.") from error


def _mapped(where: object, array: np.ndarray) -> Stored:
    """The Stored of a memory map; its blocks are read when their rows are used."""
    rows = _rows_at_a_time(array.shape, array.dtype)

    def blocks() -> Iterator[np.ndarray]:
        return (array[start : start + rows] for start in range(0, len(array), rows))

    return Stored(str(where), array.shape, array.dtype, blocks if array.ndim else lambda: iter(()))


def _rows_at_a_time(shape: tuple[int, ...], dtype: np.dtype) -> int:
    return max(1, _BLOCK // max(1, math.prod(shape[1:]) * dtype.itemsize))


def _member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Stored:
    """The Stored of an array of a .npz: mapped, or, if it is compressed, read as a stream."""
    where = f"{member.filename.removesuffix('.npy')} of {path}"
    with archive.open(member) as stream:
        shape, fortran, dtype = _header(stream, where)
        start = stream.tell()
    if dtype.hasobject:
        raise UserError(f"{where} holds Python objects: save it as numbers or text.")
    if member.compress_type == zipfile.ZIP_STORED:
        if not math.prod(shape):
            return _mapped(where, np.zeros(shape, dtype))
        start += _offset(path, member)
        whole = np.memmap(path, dtype, "r", start, shape, order="F" if fortran else "C")
        return _mapped(where, whole)
    if fortran and len(shape) > 1:
        raise UserError(f"{where} is in Fortran order: save np.ascontiguousarray of it.")

    def blocks() -> Iterator[np.ndarray]:
        rows = _rows_at_a_time(shape, dtype)
        with zipfile.ZipFile(path) as again, again.open(member) as stream:
            stream.read(start)
            for first in range(0, shape[0], rows):
                part = (min(rows, shape[0] - first), *shape[1:])
                found = stream.read(math.prod(part) * dtype.itemsize)
                yield np.frombuffer(found, dtype).reshape(part)

    return Stored(where, shape, dtype, blocks if shape else lambda: iter(()))


def _header(stream: IO[bytes], where: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(stream)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(stream)
        return np.lib.format.read_array_header_2_0(stream)
    except ValueError as error:
        raise UserError(f"{where} cannot be used ({error}): save it with numpy.savez.") from error


def _offset(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the bytes of a stored member begin: behind its local header of variable length."""
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        name, extra = struct.unpack("<HH", file.read(30)[26:])
    return member.header_offset + 30 + name + extra
