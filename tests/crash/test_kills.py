"""A few kills at random instants; ``kills.py`` does many."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash.kills import LOADS, kill


@pytest.mark.slow
def test_whatever_instant_a_worker_or_the_server_is_killed_the_file_is_as_if_it_was_not(
    redis_url: str, tmp_path: Path
) -> None:
    outcome = kill(2 * len(LOADS), 7, tmp_path, redis_url)
    assert outcome.unequal == []
    assert outcome.n_equal == 2 * len(LOADS)
