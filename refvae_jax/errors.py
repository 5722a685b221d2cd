"""Errors that users can fix: one sentence each, exit status 2, and no traceback."""

import contextlib
import difflib
import errno
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Any

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)


class UserError(Exception):
    """A problem with the input, the config, the data or the disk, in one clear sentence.

    Commands print the sentence without a traceback and exit with status 2.
    """


def exit_status(command: Callable[..., int | None], *arguments: Any) -> int:
    """Runs a command; returns its exit status, or 0, or 2 after an error that users can fix."""
    try:
        return command(*arguments) or 0
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def counted(number: int, noun: str) -> str:
    """`1 image`, `2 images`."""
    return f"{number} {noun}{'s' * (number != 1)}"


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint ` Did you mean ...?` for a misspelt name; "" if no known name is near."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""


def disk_problem(error: BaseException) -> str:
    """The system's words for a failed file operation, "" for any other error.

    Also where a library wraps a full or read-only disk in an error of its own.
    """
    if isinstance(error, OSError) and (error.filename is not None or error.errno in _DISK):
        return os.strerror(error.errno or 0)
    wrapped = (os.strerror(code) for code in (*_FULL, errno.EROFS))
    return next((words for words in wrapped if words in str(error)), "")


@contextlib.contextmanager
def explain_disk_errors(place: object) -> Iterator[None]:
    """Turns every failed file operation into a UserError that names the path.

    Args:
      place: where the command writes, named where the error itself names no path.
    """
    print_traceback = threading.excepthook

    def hook(thread: threading.ExceptHookArgs) -> None:
        # A thread of Orbax that cannot write also raises in the main thread, which reports it.
        if thread.exc_value is None or not disk_problem(thread.exc_value):
            print_traceback(thread)

    threading.excepthook = hook
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        words = disk_problem(error)
        if not words:
            raise
        full = any(words == os.strerror(code) for code in _FULL)
        advice = "Free space there, or choose" if full else "Choose"
        raise UserError(
            f"Cannot use {getattr(error, 'filename', None) or place}: {words}. {advice} another "
            f"place with --workdir or --config.data.cache_dir; saved checkpoints are untouched."
        ) from error
    finally:
        threading.excepthook = print_traceback
