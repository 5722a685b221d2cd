"""The processes that have come to take part in a run, and whether they belong together."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

_NAMED = 4  # Processes, or differences, that a message lists.


class Place(NamedTuple):
    """Where this process stands among those of the run."""

    host: str  # Of process 0.
    port: int
    num_processes: int  # Of processes.
    process_id: int
    devices: Sequence[int] | None = None  # That it may use; None for all that it sees.


class Patience(NamedTuple):
    """How long to wait for others, in seconds."""

    start: float  # Until all have come.
    silence: float  # Since the last word of one of them.

    @property
    def named_after(self) -> float:
        """When a process that is missing or silent is named."""
        return self.silence / 4

    @property
    def beat(self) -> float:
        """Between two words of a process."""
        return self.silence / 40


class Hello(NamedTuple):
    """What a process says of itself when it comes."""

    process_id: int
    num_processes: int  # Of processes, as it was told.
    host: str
    pid: int
    about: Mapping[str, Any]  # {what: value ready for JSON} that all must have in common.

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"process {self.process_id} (host {self.host}, pid {self.pid})"


class Member:
    """A process at the other end of a connection, on which each line is a JSON list.

    Args:
      hello: of the process.
      writer: of the connection.
    """

    def __init__(self, hello: Hello, writer: asyncio.StreamWriter) -> None:
        self.hello, self._writer = hello, writer
        self.heard = time.monotonic()
        self.named = False  # As silent.
        self.left = False  # Has said that it has come to its end.
        # Set by whoever it talks to now.
        self.on_words: Callable[[Member, list[Any]], None]
        self.on_gone: Callable[[Member], None]

    @property
    def silence(self) -> float:
        """Seconds since its last word."""
        return time.monotonic() - self.heard

    def remark(self, patience: Patience) -> str:
        """What there is to say of its silence, each once: that it is long, or over; else ""."""
        if self.silence > patience.named_after and not self.named:
            self.named = True
            return (
                f"warning: {self.hello.name} has not answered for {self.silence:.0f} s: stopped, "
                f"or overloaded? Unless it answers, the run ends at {patience.silence:.0f} s."
            )
        if self.silence < 2 * patience.beat and self.named:
            self.named = False
            return f"{self.hello.name} answers again"
        return ""

    def tell(self, *words: Any) -> None:
        """Sends a line; nothing if the connection is broken."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(words).encode() + b"\n")

    async def hear(self, reader: asyncio.StreamReader) -> None:
        """Calls `on_words` at each line, and `on_gone` at the end of the connection."""
        with contextlib.suppress(OSError, ValueError):  # Broken, or not a process of ours.
            while line := await reader.readline():
                self.heard = time.monotonic()
                self.on_words(self, json.loads(line))
        self.on_gone(self)

    async def hang_up(self) -> None:
        """Closes the connection when all that was told is sent."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def missing(here: Iterable[int], num_processes: int, how_to_start: Callable[[int], str]) -> str:
    """Names those of `num_processes` processes that have not come, and says how to start them.

    Args:
      here: the indices of those that have.
      num_processes: of processes.
      how_to_start: (process id) -> advice, asked for the first of them.
    """
    absent = sorted(set(range(num_processes)) - set(here))
    names = ", ".join(map(str, absent[:_NAMED]))
    more = f" and {len(absent) - _NAMED} more" if len(absent) > _NAMED else ""
    noun = "process" if len(absent) == 1 else "processes"
    return f"{noun} {names}{more} of {num_processes}: {how_to_start(absent[0])}"


def clash(hellos: Sequence[Hello]) -> str:
    """Why these cannot be different processes of one run; "" if they can."""
    first, *others = hellos
    seen = {first.process_id: first}
    for other in others:
        if other.num_processes != first.num_processes:
            return (
                f"{first.name} was told of {first.num_processes} processes and {other.name} of "
                f"{other.num_processes}: give all of them the same number."
            )
        if other.process_id in seen:
            return (
                f"{seen[other.process_id].name} and {other.name} have the same process id: give "
                f"each another one, from 0 to {first.num_processes - 1}."
            )
        seen[other.process_id] = other
    return ""


def difference(hellos: Sequence[Hello]) -> str:
    """What the first and another of these should have in common and have not; "" if nothing."""
    first, *others = hellos
    for other in others:
        one, two = first.about, other.about
        names = sorted(n for n in one.keys() | two.keys() if one.get(n) != two.get(n))
        if names:
            unlike = [f"{n} is {one.get(n)!r} and {two.get(n)!r}" for n in names[:_NAMED]]
            more = f"; and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            return (
                f"The processes of this run differ: in {first.name} and {other.name} "
                f"{'; '.join(unlike)}{more}. Start the same command of the same code on every host."
            )
    return ""
