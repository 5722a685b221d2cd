"""The step after which all processes of a run stop when one of them is asked to.

As in JAX's preemption service: everyone says which step it has come to, and the one after the
latest of these is the last. That service itself waits for the network with Python's lock held, and
here JAX's connections pass through Python (`relay`): it would wait for ever.
"""

import threading


class StoppingPoint:
    """What one process knows of it; used by its main thread and that of its `Lifeline`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._step = 0  # The latest that the main thread has come to.
        self._held = False  # A stop is asked for, and the main thread may begin no further step.
        self._last: int | None = None

    def reached(self, step: int) -> bool:
        """Whether this step, which is done, is the last; waits while that is being agreed on."""
        with self._changed:
            self._step = step
            self._changed.wait_for(lambda: not self._held)
            return self._last is not None and step >= self._last

    def hold(self) -> int:
        """Returns the step that this process has come to; `reached` waits until `decide`."""
        with self._changed:
            self._held = self._last is None
            return self._step

    def decide(self, steps: list[int]) -> None:
        """Sets the last step, from what `hold` of all processes returned."""
        with self._changed:
            self._last, self._held = max(steps) + 1, False
            self._changed.notify_all()
