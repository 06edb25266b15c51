"""Compiled code is not cached between test runs, and every compilation is verified."""

from __future__ import annotations

import os

os.environ.setdefault("GRAPHFLOW_CACHE", "0")
os.environ.setdefault("GRAPHFLOW_VERIFY", "1")
