"""What a user sees of an error: one line; on request the traceback, or a debugger where it was raised."""

import errno
import sys
import traceback
from types import TracebackType

_MISTAKEN_PATHS = {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EEXIST, errno.EPERM}


def is_mistake(error: BaseException) -> bool:
    """Whether the user can put it right: a bad argument, bad data, a path that is missing or forbidden."""
    return isinstance(error, ValueError) or (isinstance(error, OSError) and error.errno in _MISTAKEN_PATHS)


def one_line(error: BaseException) -> str:
    """The error in one line; its type only where the message alone would not be understood."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    message = " ".join(str(error).split())
    if isinstance(error, (ValueError, RuntimeError, OSError)) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def explain(error: BaseException, *, show_traceback: bool, debug: bool) -> None:
    """Reports `error` on standard error.

    Args:
        error: just caught.
        show_traceback: print where it comes from.
        debug: open a debugger there; off a terminal the traceback is printed instead, so that nothing hangs.
    """
    if show_traceback or debug:
        traceback.print_exception(error, file=sys.stderr)
    sys.stderr.write(f"assay: error: {one_line(error)}\n")
    sys.stderr.flush()
    if debug and error.__traceback__ is not None and sys.stdin.isatty() and sys.stdout.isatty():
        _post_mortem(error.__traceback__)


def _post_mortem(trace: TracebackType) -> None:
    import pdb

    pdb.post_mortem(trace)
