"""Compiled code is not cached between test runs, every compilation is verified, and an interrupt interrupts."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("GRAPHFLOW_CACHE", "0")
os.environ.setdefault("GRAPHFLOW_VERIFY", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)
