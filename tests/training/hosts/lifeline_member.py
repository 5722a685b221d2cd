"""A process of a run without JAX, started by test_lifeline.py: it joins, is busy, leaves.

python -m tests.training.hosts.lifeline_member INDEX PORT SECONDS STATUS ABOUT START SAVING HOST
"""

import os
import signal
import sys
import threading
import time

from refvae_jax.errors import UserError
from refvae_jax.training.hosts.lifeline import Lifeline
from refvae_jax.training.hosts.meeting import Meeting
from refvae_jax.training.hosts.roster import Patience, Place

SILENCE = 6.0  # A process is named after a quarter of it.


def save(lifeline: Lifeline, seconds: float) -> None:
    with lifeline.saving:
        time.sleep(seconds)
        print("saved", flush=True)


def main() -> int:
    index, port, seconds, status, about, start, saving, host = sys.argv[1:]
    patience = Patience(float(start), SILENCE)
    place = Place(host, int(port), 2, int(index))
    meeting = Meeting(place, {"config.seed": about}, patience, lambda i: f"type `start {i}`.")
    lifeline = Lifeline(meeting, patience)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        lifeline.join()
        print("joined", meeting.run_id, flush=True)
        print(lifeline.gather((int(index), "given")), flush=True)
        threading.Thread(target=save, args=(lifeline, float(saving)), daemon=True).start()
        time.sleep(float(seconds))
        return lifeline.leave(int(status))
    except UserError as error:
        print(f"error: {error}", flush=True)
        return lifeline.leave(error.status)
    except SystemExit:
        return lifeline.leave(0, stopped=True)


if __name__ == "__main__":
    os._exit(main())
