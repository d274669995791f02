"""Waiting for what becomes true in another process."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


def wait_until(holds: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Return once the condition holds; fail after the timeout."""
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"{getattr(holds, '__name__', holds)} never came true")
        time.sleep(0.02)
