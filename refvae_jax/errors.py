"""What the user can mend: the exception whose sentence says how, and how a command tells it."""

import sys


class UserError(Exception):
    """A problem with the input, the config, the data or the disk, told in one clear sentence.

    `launch.py` prints the sentence without a traceback and exits with status 2.
    """


def exit_status(command, *arguments):
    """Runs a command; its exit status is what it returns, or 0, or 2 for what the user can mend."""
    try:
        return command(*arguments) or 0
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
