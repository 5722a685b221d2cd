"""The one exception that means: the user can mend this, and the sentence says how."""


class UserError(Exception):
    """A problem with the input, the config, the data or the disk, told in one clear sentence.

    `launch.py` prints the sentence without a traceback and exits with status 2.
    """
