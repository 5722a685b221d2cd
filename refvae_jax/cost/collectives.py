"""What the devices send each other in a compiled program.

list(collectives(compiled.as_text()))   # [Collective("all-reduce", num_bytes=12_345), ...]
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

KINDS = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
# `name = TYPE kind(...)`; an asynchronous one is a pair, kind-start and kind-done.
_OPERATION = re.compile(rf"= (\(.*?\)|\S+) ({'|'.join(KINDS)})(-start)?\(")
_CHANNEL = re.compile(r"channel_id=\d+")
_ARRAY = re.compile(r"\b(pred|[a-z]+(\d+)[a-z\d]*)\[([\d,]*)\]")


class Collective(NamedTuple):
    """One of them: its kind, of KINDS, and the bytes of its result on one device."""

    kind: str
    num_bytes: int


def collectives(program: str) -> Iterator[Collective]:
    """Each Collective of an HLO program.

    A TPU's program has parts of one collective in several fusions, which it overlaps with: they
    have the same channel.
    """
    channels = set()
    for line in program.splitlines():
        if found := _OPERATION.search(line):
            result, kind, start = found.groups()
            channel = _CHANNEL.search(line)
            if channel and channel[0] in channels:
                continue
            channels.add(channel[0] if channel else "")
            arrays = [array.groups() for array in _ARRAY.finditer(result)]
            if start and kind != "all-reduce":
                # The start of any other has all operands, all results, and scalars of its own.
                arrays = [array for array in arrays if array[2]]
                arrays = arrays[len(arrays) // 2 :]
            yield Collective(kind, sum(_num_bytes(*array) for array in arrays))


def _num_bytes(name: str, bits: str | None, shape: str) -> int:
    count = 1
    for side in filter(None, shape.split(",")):
        count *= int(side)
    return count * (max(int(bits) // 8, 1) if bits else 1)
