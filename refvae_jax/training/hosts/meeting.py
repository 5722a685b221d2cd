"""How the processes of a run come together, before any of them uses a device.

Process 0 listens at the coordinator's address until all others have come and said what they are
about to do; then it sets all off, or refuses all.
"""

import asyncio
import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from refvae_jax.errors import OthersMissing, UserError
from refvae_jax.training.hosts import relay
from refvae_jax.training.hosts.roster import (
    Hello,
    Member,
    Patience,
    Place,
    clash,
    difference,
    missing,
)

_LINE = 1 << 22  # Bytes: a hello holds a whole config.
_RETRY_SECONDS = 0.5


def say(line: str) -> None:
    """Prints a line of any process; the package's log shows only those of process 0."""
    print(line, file=sys.stderr, flush=True)


class Meeting:
    """Meets the other processes: `await Meeting(...).meet()`.

    Args:
      place: of this process.
      about: {what: value ready for JSON} that all processes must have in common.
      patience: with others.
      how_to_start: (process id) -> what to do so that this process starts.
    """

    def __init__(
        self,
        place: Place,
        about: Mapping[str, Any],
        patience: Patience,
        how_to_start: Callable[[int], str],
    ) -> None:
        self._place, self._patience, self._how_to_start = place, patience, how_to_start
        self.hello = Hello(
            place.process_id, place.num_processes, socket.gethostname(), os.getpid(), about
        )
        self.members: list[Member] = []  # Process 0 has all others, each of them has process 0.
        self.service_port = relay.free_port()  # On this machine, for JAX.
        self.run_id = secrets.token_hex(8)  # That of process 0, once all have come.
        self._over: asyncio.Future[None]

    async def meet(self) -> None:
        """Returns when all have come.

        Raises:
          UserError: some are missing, or they do not belong together.
        """
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        if self._place.process_id == 0:
            await self._listen()
            loop.call_later(self._patience.named_after, self._name_missing)
            loop.call_later(self._patience.start, self._give_up)
        else:
            await self._reach()
        await self._over

    # Process 0.

    async def _listen(self) -> None:
        try:
            await asyncio.start_server(self._accept, None, self._place.port, limit=_LINE)
        except OSError as error:
            raise UserError(
                f"Process 0 cannot listen at port {self._place.port} ({error.strerror}): end what "
                f"uses it, perhaps an earlier run, or choose another port."
            ) from error

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection of another process, for as long as it lasts."""
        try:
            opening = await reader.readline()
            if opening == relay.OPENING:
                return await relay.serve(reader, writer, self.service_port)
            member = Member(Hello(*json.loads(opening)), writer)
        except (OSError, ValueError, TypeError):  # Something else knocks.
            return writer.close()
        if self._over.done():
            begun = OthersMissing(f"{self.hello.name} has set off without it: start all again.")
            self._refuse_one(member, self._over.exception() or begun)
            return await member.hang_up()
        member.on_words, member.on_gone = _ignore, self.members.remove  # It may come again.
        self.members.append(member)
        hellos = [self.hello, *(m.hello for m in self.members)]
        complete = len(hellos) == self._place.num_processes
        if sentence := clash(hellos) or (complete and difference(hellos)):
            self._refuse(UserError(sentence))
        elif complete:
            self._over.set_result(None)
            for member in self.members:
                member.tell("go", self.run_id, self.hello.host, self.hello.pid)
        await member.hear(reader)

    def _refuse(self, error: UserError) -> None:
        self._over.set_exception(error)
        for member in self.members:
            self._refuse_one(member, error)

    def _refuse_one(self, member: Member, error: BaseException) -> None:
        member.tell("refused", str(error), isinstance(error, OthersMissing))

    def _missing(self) -> str:
        here = [0, *(member.hello.process_id for member in self.members)]
        return missing(here, self._place.num_processes, self._how_to_start)

    def _name_missing(self) -> None:
        if not self._over.done():
            say(f"waiting for {self._missing()}")

    def _give_up(self) -> None:
        if not self._over.done():
            seconds = self._patience.start
            self._refuse(OthersMissing(f"After {seconds:.0f} s there is no {self._missing()}"))

    # The others.

    async def _reach(self) -> None:
        """Connects to process 0, waiting until it listens."""
        host, port = self._place.host, self._place.port
        since, named = time.monotonic(), False
        while True:
            try:
                opening = asyncio.open_connection(host, port, limit=_LINE)
                # Linux would try for two minutes where packets are dropped.
                reader, writer = await asyncio.wait_for(opening, self._patience.named_after / 4)
                break
            except OSError as error:
                advice = f"{host}:{port} ({_reason(error)}): {self._how_to_start(0)}"
            waited = time.monotonic() - since
            if waited > self._patience.start:
                raise OthersMissing(f"After {waited:.0f} s process 0 does not answer at {advice}")
            if waited > self._patience.named_after and not named:
                named = True
                say(f"waiting for process 0 at {advice}")
            await asyncio.sleep(_RETRY_SECONDS)
        first = Member(Hello(0, self._place.num_processes, host, 0, {}), writer)
        first.on_words, first.on_gone = self._follow, self._left_alone
        first.tell(*self.hello)
        self.members.append(first)
        self._hearing = asyncio.create_task(first.hear(reader))  # Kept, or it would be collected.
        self.service_port = await relay.start(host, port)

    def _follow(self, first: Member, words: list[Any]) -> None:
        """What process 0 says once all have come, or that they never will."""
        what, *rest = words
        if what == "refused" and not self._over.done():
            sentence, again = rest
            self._over.set_exception((OthersMissing if again else UserError)(sentence))
        elif what == "go":
            self.run_id, host, pid = rest
            first.hello = first.hello._replace(host=host, pid=pid)
            self._over.set_result(None)

    def _left_alone(self, first: Member) -> None:
        if not self._over.done():
            self._over.set_exception(
                OthersMissing(
                    f"Process 0 at {self._place.host}:{self._place.port} ended before all had "
                    f"come, or is no process of a run: see its output, then start all again."
                )
            )


def _ignore(member: Member, words: list[Any]) -> None:
    pass


def _reason(error: OSError) -> str:
    """The system's words, where asyncio tried several addresses, or has given up, too."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error) or "no answer"
