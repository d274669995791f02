"""How many processes it takes."""

from __future__ import annotations

from pathlib import Path

from saving import StartSaver

from tango_saver.demo.publisher import replay


def test_scans_one_after_the_other_into_files_of_their_own_need_one_worker_and_a_spare(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver(workers=4)
    for number in range(1, 5):
        keys = replay(
            recordings / "ascan.json.gz", redis_url, tmp_path / str(number), speed=0, number=number
        )
        saver.reports(keys)
        saver.wait_for(lambda status: not status.running)
    assert saver.wait_for(lambda status: status.workers).workers <= 2
