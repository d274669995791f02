from __future__ import annotations

from pathlib import Path

import pytest

from tango_saver.errors import SinkError, TargetUnusableError
from tango_saver.sink.journal import Journal

KEY = "esrf:scan:01JDF2Y5K3M0WQ0E7N6XG2B8TC"


def test_a_journal_comes_back_as_it_was_left(tmp_path: Path) -> None:
    target = tmp_path / "data.h5"
    journal = Journal.create(target, KEY, ("1.1", "1.2"))
    journal.confirm({"axis:robx": 3, "diode": 2})
    journal.confirm({"axis:robx": 3, "diode": 9})
    journal.close()

    loaded = Journal.load(journal.path)
    assert (loaded.scan, loaded.target, loaded.entries) == (KEY, str(target), ("1.1", "1.2"))
    assert loaded.confirmed == {"axis:robx": 3, "diode": 9}
    loaded.confirm({"diode": 10})
    assert Journal.load(journal.path).confirmed == {"axis:robx": 3, "diode": 10}
    loaded.remove()


def test_a_torn_line_costs_that_line_alone(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "data.h5", KEY, ("1.1",))
    journal.confirm({"a": 1})
    whole = len(journal.path.read_bytes())
    journal.confirm({"a": 2, "b": 20})
    journal.close()
    content = journal.path.read_bytes()
    for length in range(whole, len(content)):
        journal.path.write_bytes(content[:length])
        confirmed = Journal.load(journal.path).confirmed
        # All but the line's end is a whole line.
        assert confirmed == ({"a": 1} if length < len(content) - 1 else {"a": 2, "b": 20})


def test_after_a_torn_line_the_journal_goes_on_whole(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "data.h5", KEY, ("1.1",))
    journal.confirm({"a": 1})
    journal.close()
    with journal.path.open("ab") as file:
        file.write(b'{"a": 2')
    loaded = Journal.load(journal.path)
    loaded.confirm({"a": 5})
    loaded.confirm({"a": 6})
    loaded.close()
    assert Journal.load(journal.path).confirmed == {"a": 6}


def test_a_journal_stays_small(tmp_path: Path) -> None:
    journal = Journal.create(tmp_path / "data.h5", KEY, ("1.1",))
    sizes = []
    for length in range(1, 3000):
        journal.confirm({f"detector:channel_{number}": length for number in range(10)})
        sizes.append(journal.path.stat().st_size)
    journal.close()
    assert max(sizes) <= 64 << 10
    assert set(Journal.load(journal.path).confirmed.values()) == {2999}
    assert [path.name for path in tmp_path.iterdir()] == [journal.path.name]


def test_journals_are_found_by_target_and_by_folder(tmp_path: Path) -> None:
    first = Journal.create(tmp_path / "data.h5", KEY, ("1.1",))
    second = Journal.create(tmp_path / "data.h5", "a key/with: odd parts", ("2.1",))
    other = Journal.create(tmp_path / "other.h5", KEY, ("1.1",))
    (tmp_path / "data.h5").touch()
    assert set(Journal.find(tmp_path / "data.h5")) == {first.path, second.path}
    assert set(Journal.find(tmp_path)) == {first.path, second.path, other.path}
    assert Journal.find(tmp_path / "nowhere" / "data.h5") == []
    for journal in (first, second, other):
        assert journal.path.name.startswith(".")
        journal.remove()
        journal.remove()
    assert Journal.find(tmp_path) == []


def test_a_target_with_the_longest_name_has_a_journal_too(tmp_path: Path) -> None:
    target = tmp_path / ("é" * 127)
    journal = Journal.create(target, KEY, ("1.1",))
    assert Journal.load(journal.path).target == str(target)
    journal.remove()


@pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b'{"scan": 1}\n'])
def test_what_is_no_journal_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ".data.h5.x.journal"
    path.write_bytes(content)
    with pytest.raises(SinkError, match="journal"):
        Journal.load(path)


def test_a_journal_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TargetUnusableError, match="made"):
        Journal.create(tmp_path / "file" / "data.h5", KEY, ("1.1",))
