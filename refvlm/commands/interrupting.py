"""Signals that end a command, and leave nothing half done."""

from __future__ import annotations

import contextlib
import signal
import threading


@contextlib.contextmanager
def as_ctrl_c(*names):
    """What a batch system sends, or a terminal that closes, is as harmless as Ctrl-C.

    What the program was told to ignore (by nohup) stays ignored.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in names:
            number = getattr(signal, name, None)  # Windows has no SIGHUP
            if number and signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
