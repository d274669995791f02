"""The state and its words; settings that are refused; what is counted; what is remembered."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from tango_saver.engine.alarms import Alarms
from tango_saver.engine.checks import check_settings
from tango_saver.engine.ledger import Ledger, RunningScan, refusal
from tango_saver.engine.memory import Memory, MemoryFile
from tango_saver.engine.messages import (
    Configure,
    LostPoints,
    ProgressMade,
    SaveScan,
    ScanEnded,
    decode_news,
    decode_order,
    encode,
)
from tango_saver.engine.tally import Tally, problem_sentence
from tango_saver.engine.wording import (
    Situation,
    listening_trouble,
    saver_state,
    shown_url,
    status_text,
)
from tango_saver.errors import ConfigurationError, EngineError, RedisUnreachableError, SaverError
from tango_saver.model.report import Gap, SavingState, ScanProgress
from tango_saver.model.settings import SaverSettings
from tango_saver.model.status import SaverState

SETTINGS = SaverSettings(session="demo")
PROGRESS = ScanProgress(
    "esrf:scan:1", "demo", "ascan", 12, SavingState.SAVING, "/data/x.h5", ("12.1",), 40, 100
)


@pytest.mark.parametrize(
    ("situation", "state"),
    [
        (Situation(SETTINGS), SaverState.OFF),
        (Situation(SETTINGS, alarms=("a scan failed",)), SaverState.OFF),
        (Situation(SETTINGS, listening=True), SaverState.ON),
        (Situation(SETTINGS, listening=True, running=(PROGRESS,)), SaverState.RUNNING),
        (Situation(SETTINGS, running=(PROGRESS,)), SaverState.RUNNING),
        (Situation(SETTINGS, stopping=True, running=(PROGRESS,)), SaverState.MOVING),
        (Situation(SETTINGS, listening=True, alarms=("disk",)), SaverState.ALARM),
        (
            Situation(SETTINGS, listening=True, running=(PROGRESS,), alarms=("disk",)),
            SaverState.ALARM,
        ),
        (Situation(SETTINGS, listening=True, alarms=("disk",), fault="no"), SaverState.FAULT),
    ],
)
def test_the_state_says_what_is_going_on(situation: Situation, state: SaverState) -> None:
    assert saver_state(situation) is state


def test_the_status_names_scans_their_progress_and_their_files() -> None:
    text = status_text(Situation(SETTINGS, listening=True, running=(PROGRESS,)))
    assert text == "Saving 1 scan of session demo: 12_ascan 40 of 100 points -> /data/x.h5."


def test_the_status_of_a_stopped_saver_says_how_to_go_on() -> None:
    assert status_text(Situation(SETTINGS)) == "Stopped. Start to listen to session demo."


def test_the_status_tells_alarms_and_how_to_end_them() -> None:
    text = status_text(Situation(SETTINGS, listening=True, alarms=("the disk is full.",)))
    assert "Look at: the disk is full. Reset when it is dealt with." in text


def test_many_running_scans_are_counted_not_all_spelt_out() -> None:
    running = tuple(replace(PROGRESS, number=number) for number in range(1000))
    text = status_text(Situation(SETTINGS, listening=True, running=running))
    assert "Saving 1000 scans" in text
    assert "and 996 more" in text
    assert len(text) < 500


def test_a_password_in_the_redis_url_is_never_shown() -> None:
    settings = replace(SETTINGS, redis_url="redis://user:secret@host:6379/1")
    text = listening_trouble(RedisUnreachableError("refused"), settings, "12:00:00")
    assert "secret" not in text
    assert "redis://host:6379/1 does not answer since 12:00:00" in text
    assert shown_url("redis://host:1") == "redis://host:1"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("session", ""),
        ("session", "  "),
        ("redis_url", "localhost:6379"),
        ("redis_url", ""),
        ("layout", "no_such_layout"),
        ("data_writers", ()),
        ("allowed_roots", ("data",)),
        ("workers", 0),
        ("workers", 100_000),
        ("publisher_timeout_s", -1.0),
        ("redis_timeout_s", 0.0),
        ("flush_period_s", math.nan),
        ("file_idle_s", -0.1),
        ("disk_warning_gb", -1.0),
        ("disk_minimum_gb", math.nan),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(setting: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=f"^{setting} "):
        check_settings(replace(SETTINGS, **{setting: value}))


def test_the_default_settings_lack_only_the_session() -> None:
    check_settings(SETTINGS)


@given(
    blocks=st.lists(st.tuples(st.booleans(), st.integers(1, 50)), max_size=20),
    lost_at_sea=st.integers(0, 3),
)
def test_every_point_is_received_or_lost_or_a_problem(
    blocks: list[tuple[bool, int]], lost_at_sea: int
) -> None:
    tally, position = Tally(), 0
    tally.expect(["c"])
    for is_gap, n_points in blocks:
        if is_gap:
            tally.gap("c", position, position + n_points)
        else:
            tally.received("c", n_points)
        position += n_points
    tally.ended("c", position + lost_at_sea)
    (report,) = tally.reports({"c": position})
    lost = sum(gap.stop - gap.first for gap in report.gaps)
    assert report.received == report.on_disk
    assert report.received + lost + lost_at_sea == report.published
    assert bool(report.problem) is bool(lost_at_sea)


def test_rows_missing_on_disk_are_a_problem() -> None:
    tally = Tally()
    tally.received("c", 5)
    reports = tally.reports({"c": 4})
    assert reports[0].on_disk == 4
    assert "c: 5 points were received, 4 are on disk" in problem_sentence(reports)


def test_an_earlier_attempt_counts_with_its_gaps_as_far_as_it_got() -> None:
    tally = Tally()
    tally.resumed("c", 10, [Gap(0, 4), Gap(8, 12), Gap(20, 30)])
    (report,) = tally.reports({"c": 10})
    assert report.gaps == (Gap(0, 4), Gap(8, 10))
    assert report.received == report.on_disk == 4


def test_many_bad_channels_make_a_short_sentence() -> None:
    tally = Tally()
    for number in range(1000):
        tally.failed(f"channel{number}", "unknown dtype")
    assert len(problem_sentence(tally.reports({}))) < 300


def test_alarms_stay_until_reset_or_until_their_cause_is_gone() -> None:
    alarms = Alarms()
    alarms.set("disk", "low")
    alarms.keep("a scan failed")
    alarms.keep("a scan failed")
    assert alarms.sentences() == ("low", "a scan failed")
    alarms.reset()
    assert alarms.sentences() == ("low",)
    alarms.set("disk", "")
    assert alarms.sentences() == ()


def test_the_sums_count_finished_and_running_scans() -> None:
    ledger = Ledger()
    ledger.running["a"] = RunningScan(replace(PROGRESS, key="a", points_saved=7, bytes_saved=70))
    report = replace(
        refusal(PROGRESS, SaverError("full")), state=SavingState.SAVED, bytes_saved=30, error=""
    )
    ledger.finish(report)
    ledger.finish(refusal(PROGRESS, SaverError("full")))
    sums = ledger.sums()
    assert (sums.scans_saved, sums.scans_failed) == (1, 1)
    assert (sums.points_saved, sums.bytes_saved) == (7, 100)
    assert ledger.last_file == "/data/x.h5"


def test_the_data_rate_is_that_of_the_last_two_seconds() -> None:
    ledger = Ledger()
    assert ledger.data_rate(0.0, 0) == 0
    assert ledger.data_rate(1.0, 5_000_000) == pytest.approx(5)
    for second in range(2, 10):
        rate = ledger.data_rate(float(second), 5_000_000)
    assert rate == 0


def test_messages_survive_the_pipe() -> None:
    report = refusal(PROGRESS, SaverError("no", advice="try"))
    for news in (ProgressMade((PROGRESS,)), ScanEnded(report)):
        assert decode_news(encode(news)) == news
    for order in (Configure(SETTINGS), SaveScan("k", "s", "n", 1, "/t", warnings=("w",))):
        assert decode_order(encode(order)) == order


@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_an_engine_error(data: bytes) -> None:
    for decode in (decode_news, decode_order):
        try:
            decode(data)
        except EngineError:
            continue


def test_what_is_remembered_comes_back_per_session_and_redis(tmp_path: Path) -> None:
    settings = replace(SETTINGS, state_directory=str(tmp_path))
    report = refusal(PROGRESS, SaverError("full"))
    file = MemoryFile(settings)
    kept = Memory(
        settings.session,
        settings.redis_url,
        last_file="/data/x.h5",
        last_entry="12-0",
        listening=True,
        running=(SaveScan("k", "s", "n", 1, "/t", lost=(LostPoints("k", "c", 0, 2),)),),
        finished=(report,),
    )
    file.load()
    file.save(kept)
    file.release()
    assert MemoryFile(settings).load() == kept
    other = MemoryFile(replace(settings, session="../other")).load()
    assert other.last_file == ""
    assert MemoryFile(replace(settings, session="../other")).path.parent == tmp_path
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".lock"}


def test_two_savers_of_a_session_keep_what_is_theirs_and_the_next_one_takes_over_all(
    tmp_path: Path,
) -> None:
    settings = replace(SETTINGS, state_directory=str(tmp_path))
    retiring, following = MemoryFile(settings), MemoryFile(settings)
    first, second = (SaveScan(key, "s", "n", 1, "/t") for key in ("one", "two"))
    empty = retiring.load()
    retiring.save(changed(empty, last_file="/data/x.h5", running=(first,)))
    memory = following.load()
    assert (memory.last_file, memory.running) == ("/data/x.h5", ())
    following.save(changed(memory, running=(second,), listening=True, last_entry="9-0"))
    retiring.release()
    following.release()
    memory = MemoryFile(settings).load()
    assert {order.key for order in memory.running} == {"one", "two"}
    assert (memory.listening, memory.last_entry) == (True, "9-0")
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_memory_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = MemoryFile(replace(SETTINGS, state_directory=str(tmp_path)))
    file.path.write_text("{torn")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        file.load()
