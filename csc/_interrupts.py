"""Ctrl-C and SIGTERM as exceptions, also where Python drops the exception."""

import signal
import threading
from contextlib import contextmanager

_received = []  # signals that came within `interruptible`


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM."""


@contextmanager
def interruptible(*numbers):
    """Turn signals of these numbers into exceptions; only the main thread can handle signals.

    Python drops an exception that a signal raises while a ``__del__`` runs, such as that of Dask's
    futures, or of LLVM's modules while a kernel compiles. Signals are therefore noted, and
    `raise_lost_interrupt` raises them again. A handler of Ctrl-C that the caller has set stays.
    """
    if not _in_main_thread():
        yield
        return

    def stop(number, _):
        _received.append(number)
        raise Terminated if number == signal.SIGTERM else KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        numbers = [number for number in numbers if number != signal.SIGINT]
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        # a solver may have turned it into a plain KeyboardInterrupt
        if signal.SIGTERM in _received:
            raise Terminated from None
        raise
    finally:
        if before:  # otherwise the caller looks for them
            _received.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def raise_lost_interrupt():
    """Raise the exception of a signal that came within `interruptible`, and ended nothing."""
    if _received and _in_main_thread():
        raise KeyboardInterrupt


def _in_main_thread():
    return threading.current_thread() is threading.main_thread()
