"""Errors that users can fix: one sentence each, exit status 2, and no traceback.

with explain_disk_errors({workdir: "choose another place with --workdir"}): ...
"""

import contextlib
import difflib
import errno
import logging
import numbers
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Whose words are looked for where a library puts them into an error of its own.
_WRAPPED = (*_FULL, errno.EROFS)
# OSErrors that are of no file but of memory, processes and networks.
_OF_NO_FILE = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOTCONN, errno.EADDRINUSE}
_OF_NO_FILE |= {errno.EADDRNOTAVAIL, errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTUNREACH}
_KINDS_OF_NO_FILE = (
    ConnectionError,
    TimeoutError,
    InterruptedError,
    ChildProcessError,
    BlockingIOError,
)

Places = Mapping[Path, str]  # {what the user chose: advice, to be read after "or"}
PlacesOf = Callable[[], Places]  # Called when an error is explained, for what is then true.


class UserError(Exception):
    """A problem with the input, the config, the data or the disk, in one clear sentence.

    Commands print the sentence without a traceback and exit with `status`.
    """

    status = 2


class OthersMissing(UserError):
    """Other processes of the run are missing or lost: the same command may succeed later."""

    status = 75  # EX_TEMPFAIL of sysexits.h: a scheduler may try again, unlike after a 2.


def exit_status(
    command: Callable[..., int | None], *arguments: Any, places: Places | PlacesOf | None = None
) -> int:
    """Runs a command; returns its exit status, or 0, or 2 after an error that users can fix.

    Args:
      command: called with the arguments.
      arguments: of the command.
      places: as of `explain_disk_errors`.
    """
    try:
        with explain_disk_errors(places or {}):
            return command(*arguments) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status


def counted(number: int, noun: str) -> str:
    """`1 image`, `2,000 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint ` Did you mean ...?` for a misspelt name; "" if no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_whole(value: Any, name: str, least: int | None = None) -> None:
    """Raises UserError unless an argument is a whole number, of at least `least` if given."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or (least is not None and value < least):
        bound = "" if least is None else f" of at least {least}"
        raise UserError(f"{name} is {value!r}, but must be a whole number{bound}.")


def disk_problem(error: BaseException | None) -> str:
    """The system's words for a failed file operation, "" for any other error.

    Also where a library puts the failure into an error of its own.
    """
    # Libraries' own kinds count in other ways: of hosts, of certificates.
    if isinstance(error, OSError) and type(error).__module__ == "builtins" and error.errno:
        other = isinstance(error, _KINDS_OF_NO_FILE) or error.errno in _OF_NO_FILE
        return "" if other else os.strerror(error.errno)
    if isinstance(error, OSError) and re.fullmatch(r"\d+ requested and \d+ written", str(error)):
        return str(error)  # NumPy's.
    if code := re.search(r"os_error_code='(\d+)'", str(error)):  # TensorStore's.
        return os.strerror(int(code.group(1)))
    return next((w for w in map(os.strerror, _WRAPPED) if w in str(error)), "")


def bucket_problem(error: BaseException) -> str:
    """What is wrong with a bucket and what to do, in one sentence; "" for any other error."""
    code, words = getattr(error, "code", None), " ".join(str(error).split())
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if isinstance(error, OSError) and words.startswith("Forbidden: "):
        return (
            f"The bucket refuses ({words}): ask its owner for the role Storage Object User, or "
            f"name another one."
        )
    missing = isinstance(error, FileNotFoundError) and not error.errno  # No file of the system.
    if missing and _passes_through(error.__traceback__, "gcsfs"):
        return (
            f"The bucket has no such object, or there is no such bucket ({words}): correct the "
            f"address or, if it was removed just now, run the same command again."
        )
    if code in (401, "401") or type(error).__module__ == "google.auth.exceptions":
        return (
            f"The bucket does not know who you are ({words}): run `gcloud auth "
            f"application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file."
        )
    if libraries & {"gcsfs", "aiohttp", "fsspec", "requests"}:
        return (
            f"The bucket cannot be reached ({type(error).__name__}: {words}): run the same command "
            f"again when it can; what was saved is untouched."
        )
    return ""


@contextlib.contextmanager
def explain_disk_errors(places: Places | PlacesOf) -> Iterator[None]:
    """Turns every failed file operation into a UserError that names the path and what to do.

    Also those of buckets, whose errors name the object themselves.

    Args:
      places: the first one is named where the error itself names no path; the advice is that of the
        innermost place that the path lies in, or else of all below it, which could not be made.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if sentence := bucket_problem(error):
            raise UserError(sentence) from error
        if not (words := disk_problem(error)):
            raise
        now = places() if callable(places) else places
        path = getattr(error, "filename", None) or next(iter(now), "")
        raise UserError(_sentence(str(path), words, now)) from error


def _sentence(path: str, words: str, places: Places) -> str:
    around = sorted((p for p in places if _lies_in(path, p)), key=lambda p: len(str(p)))
    near = around[-1:] or [p for p in places if _lies_in(p, path)]
    advice = ", or ".join(dict.fromkeys(places[place] for place in near))
    full = any(words == os.strerror(code) for code in _FULL)
    if full:
        advice = "free space there" + (f", or {advice}" if advice else "")
    else:
        advice = advice or "make sure that it exists and that you may read and write it"
    what = f"Cannot use {path}: {words}" if path else words
    return f"{what}. {advice[:1].upper()}{advice[1:]}."


def _lies_in(path: str | Path, place: str | Path) -> bool:
    both = bool(str(path) and str(place))
    return both and Path(os.path.abspath(path)).is_relative_to(os.path.abspath(place))


def report_disk_errors_once() -> None:
    """Leaves failed file operations of Orbax's threads to the main thread, which reports them.

    Orbax raises a failed save in the main thread, but its threads also print a traceback for each
    array, some of them after the command has reported the error. So this lasts as long as the
    process: only commands may call it.
    """
    print_thread, print_unraisable = threading.excepthook, sys.unraisablehook

    def in_thread(thread: threading.ExceptHookArgs) -> None:
        of_orbax = _passes_through(thread.exc_traceback, "orbax", "tensorstore")
        if not (of_orbax and disk_problem(thread.exc_value)):
            print_thread(thread)

    def unraisable(ignored: "sys.UnraisableHookArgs") -> None:
        # What TensorStore meets when a write ends after another one failed and closed the loop.
        late = str(ignored.exc_value) == "Event loop is closed"
        if not late and not disk_problem(ignored.exc_value):
            print_unraisable(ignored)

    threading.excepthook, sys.unraisablehook = in_thread, unraisable
    for name in ("absl", "asyncio"):
        logging.getLogger(name).addFilter(_is_of_no_disk_problem)


def repeat_lost_interrupts() -> None:
    """Sends ctrl-C or SIGTERM again where what their handlers raised was lost.

    A signal is handled between any two steps of the program, also in a function that Python calls
    by itself and whose errors it only prints: JAX has one that runs at every garbage collection. So
    this lasts as long as the process: only commands may call it.
    """
    print_unraisable = sys.unraisablehook
    lost = {KeyboardInterrupt: signal.SIGINT, SystemExit: signal.SIGTERM}

    def unraisable(ignored: "sys.UnraisableHookArgs") -> None:
        if number := lost.get(ignored.exc_type):
            # Later, or it would be handled, and lost, in here.
            threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
        else:
            print_unraisable(ignored)

    sys.unraisablehook = unraisable


def _passes_through(trace: TracebackType | None, *libraries: str) -> bool:
    """Whether a traceback passes through one of the libraries."""
    names = (frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(trace))
    return any(name.partition(".")[0] in libraries for name in names)


def _is_of_no_disk_problem(record: logging.LogRecord) -> bool:
    return not (record.exc_info and disk_problem(record.exc_info[1]))
