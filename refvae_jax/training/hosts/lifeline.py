"""The other processes of a run, once all have come: who is silent, has died, or has left.

Every process keeps a connection to process 0, its lifeline. A process that dies closes it, at once
and without a word; one that is stopped, or whose host has crashed, keeps it open and is silent.
The others then end with a message and the status of `OthersMissing`, instead of waiting for ever.

lifeline = Lifeline(meeting, patience)
lifeline.join()                  # until all have come
values = lifeline.gather(value)  # until all have given theirs
lifeline.ask_to_stop()           # then all stop after one step, see `stopping`
status = lifeline.leave(status)  # until all have come to their end
with lifeline.saving: ...        # nothing ends this process before
"""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Coroutine
from typing import Any

from refvae_jax.errors import OthersMissing
from refvae_jax.training.hosts.meeting import Meeting, say
from refvae_jax.training.hosts.roster import Member, Patience
from refvae_jax.training.hosts.stopping import StoppingPoint

_GRACE_SECONDS = 10.0  # For a process to end by itself before it is ended.


class Lifeline:
    """The connections of this process, served by a thread of its own.

    Args:
      meeting: of the processes.
      patience: with others.
    """

    def __init__(self, meeting: Meeting, patience: Patience) -> None:
        self.meeting, self._patience = meeting, patience
        self._loop = asyncio.new_event_loop()
        self._all_left = asyncio.Event()
        self._ending: int | None = None  # The exit status, once this process comes to its end.
        self._verdict: tuple[int, str] | None = None  # Of another that failed or was stopped.
        self._given: dict[str, dict[int, Any]] = {}  # Process 0: {what: {process id: value}}.
        self._gathered: asyncio.Future[list[Any]]
        self._stop_asked = False
        self.stopping = StoppingPoint()
        self.saving = threading.Lock()  # Held while a thread writes what must be whole.

    def join(self) -> None:
        """Returns when all processes have come.

        Raises:
          UserError: some are missing, or they do not belong together.
        """
        threading.Thread(target=self._loop.run_forever, daemon=True, name="lifeline").start()
        self._call(self._join())

    def gather(self, value: Any) -> list[Any]:
        """The values, ready for JSON, that all processes give here, in their order.

        However long it takes: collectives of devices fail if one process is half a minute late.
        """
        return self._call(self._gather(value))

    def ask_to_stop(self) -> None:
        """Lets all processes agree on a step to stop after; from any thread or signal handler."""
        self._loop.call_soon_threadsafe(self._ask)

    def leave(self, status: int, stopped: bool = False) -> int:
        """Tells the others that this process has come to its end, and waits for theirs.

        Args:
          status: its exit status.
          stopped: by SIGTERM, so that the others stop as well.

        Returns:
          The exit status: that of another process which failed, if this one did not.
        """
        return self._call(self._leave(status, stopped))

    def wait_for_verdict(self) -> None:
        """After an error that the death of another process may have caused.

        Returns when all are known to have lived on; this process may be ended before.
        """
        later = time.monotonic() + self._patience.beat
        while any(member.heard < later for member in self.meeting.members):
            time.sleep(self._patience.beat / 10)

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    async def _join(self) -> None:
        try:
            await self.meeting.meet()
        finally:
            for member in self.meeting.members:
                member.on_words, member.on_gone = self._heed, self._gone
        self._watching = asyncio.create_task(self._watch())

    def _tell_all(self, *words: Any, but: Member | None = None) -> None:
        for member in self.meeting.members:
            if member is not but:
                member.tell(*words)

    async def _watch(self) -> None:
        """Lets the others know that this process lives, and looks which of them do."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(self._patience.beat)
            asleep = time.monotonic() - last - self._patience.beat
            last = time.monotonic()
            self._tell_all("beat")
            for member in self.meeting.members:
                if asleep > self._patience.beat:  # What they said meanwhile is not yet read.
                    member.heard = last
                elif not member.left:
                    self._judge(member)

    def _judge(self, member: Member) -> None:
        """Names a member that is silent, and one that is heard again; ends if it is too long."""
        if member.silence > self._patience.silence:
            self._lost(f"{member.hello.name} has not answered for {member.silence:.0f} s")
        elif remark := member.remark(self._patience):
            say(remark)

    def _gone(self, member: Member) -> None:
        """The connection has ended."""
        if not member.left:
            self._lost(f"{member.hello.name} died without a word, killed or out of memory")
        member.left = True
        if member.hello.process_id == 0:
            self._all_left.set()
        self._check_all_left()

    def _lost(self, what: str) -> None:
        """Ends all processes, unless this one ends with an error of its own."""
        if self._ending:
            return
        again = "start the same command again on every host; it resumes from the last checkpoint"
        self._tell_all("end", sentence := f"{what}: {again}.")
        # Not at once: the others would take the end of this process for the cause.
        self._loop.call_later(self._patience.beat, self._end, OthersMissing.status, sentence)

    def _end(self, status: int, sentence: str) -> None:
        """Ends this process, whose main thread may wait for another one for ever."""
        if self._ending:  # With an error of its own.
            return
        if self.saving.locked():
            self._loop.call_later(self._patience.beat, self._end, status, sentence)
            return
        say(f"\nerror: {sentence}" if status else f"\n{sentence}")
        os._exit(status)

    def _heed(self, member: Member, words: list[Any]) -> None:
        """What another process says."""
        what, *rest = words
        if what == "end":
            self._end(OthersMissing.status, *rest)
        elif what == "bye":
            self._all_left.set()
        elif what == "stop":
            self._ask()
        elif what == "hold":
            self._give("step", self.stopping.hold())
        elif what == "given":
            self._take(member.hello.process_id, *rest)
        elif what == "all":
            self._heed_all(*rest)
        elif what == "left":
            process_id, name, status, stopped = rest
            member.left = member.left or process_id == member.hello.process_id
            if status or stopped:
                self._tell_all(*words, but=member)
                self._follow(name, status, stopped)
            self._check_all_left()

    def _ask(self) -> None:
        """A stop is asked for: every process says to which step it has come."""
        if self.meeting.hello.process_id:
            self._tell_all("stop")
        elif not self._stop_asked:
            self._stop_asked = True
            self._tell_all("hold")
            self._give("step", self.stopping.hold())

    async def _gather(self, value: Any) -> list[Any]:
        self._gathered = self._loop.create_future()
        self._give("value", json.loads(json.dumps(value)))  # As the others get it: no tuples.
        return await self._gathered

    def _give(self, what: str, value: Any) -> None:
        """Gives process 0 what it collects of all."""
        if self.meeting.hello.process_id:
            self._tell_all("given", what, value)
        else:
            self._take(0, what, value)

    def _take(self, process_id: int, what: str, value: Any) -> None:
        """Process 0: keeps what a process gives; gives all to all when it is the last."""
        given = self._given.setdefault(what, {})
        given[process_id] = value
        if len(given) == self.meeting.hello.num_processes:
            del self._given[what]
            values = [given[place] for place in sorted(given)]
            self._tell_all("all", what, values)
            self._heed_all(what, values)

    def _heed_all(self, what: str, values: list[Any]) -> None:
        if what == "step":
            self.stopping.decide(values)
        else:
            self._gathered.set_result(values)

    def _follow(self, name: str, status: int, stopped: bool) -> None:
        """Comes to an end too: by itself, or else by force, as its main thread may be waiting."""
        why = f"{name} ended with an error: its output says why."
        self._verdict = self._verdict or (status, f"stopped as {name} was" if stopped else why)
        if self._ending is None:
            if stopped:
                os.kill(os.getpid(), signal.SIGTERM)
            self._loop.call_later(_GRACE_SECONDS, self._end, *self._verdict)

    def _check_all_left(self) -> None:
        """Process 0: says goodbye to all when all, itself too, have come to their end."""
        everyone = self._ending is not None and all(m.left for m in self.meeting.members)
        if everyone and self.meeting.hello.process_id == 0:
            self._tell_all("bye")
            self._all_left.set()

    async def _leave(self, status: int, stopped: bool) -> int:
        self._ending = status
        me = self.meeting.hello
        self._tell_all("left", me.process_id, me.name, status, stopped)
        self._check_all_left()
        if self.meeting.members:
            # Without an error the others wait for process 0, which evaluates for minutes or hours.
            limit = 2 * _GRACE_SECONDS if status or stopped else None
            await asyncio.wait((asyncio.ensure_future(self._all_left.wait()),), timeout=limit)
        for member in self.meeting.members:
            await asyncio.wait((asyncio.ensure_future(member.hang_up()),), timeout=1.0)
        if self._verdict and self._verdict[0] and not status:
            say(f"\nerror: {self._verdict[1]}")
            return self._verdict[0]
        return status
