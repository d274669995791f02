"""Replies stay near 16 MB, whatever the sizes of the entries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tango_saver.source.pacing import REPLY_SIZE, Pacing


def settled(sizes: dict[str, int]) -> Pacing:
    """After the entries were seen often enough."""
    pacing = Pacing(sizes.items())
    for _ in range(20):
        pacing.saw(sizes.items())
    return pacing


def test_the_first_call_asks_for_one_entry() -> None:
    assert Pacing([("a", 8), ("b", 8)]).next_call() == (("a", "b"), 1)


@given(st.dictionaries(st.text(max_size=4), st.integers(0, 2 * REPLY_SIZE), max_size=20))
def test_a_reply_is_bounded_and_every_stream_has_its_turn(sizes: dict[str, int]) -> None:
    pacing = settled(sizes)
    asked: list[str] = []
    for _ in range(pacing.n_groups):
        names, count = pacing.next_call()
        asked += names
        assert count >= 1
        total = count * sum(sizes[name] for name in names)
        assert total <= REPLY_SIZE or (len(names) == 1 and count == 1)
    assert sorted(asked) == sorted(sizes)


def test_spectra_of_16_kb_are_asked_for_by_the_hundred() -> None:
    _, count = settled({f"m{i}": 16384 for i in range(8)}).next_call()
    assert 100 <= count <= 128


def test_scalars_are_not_slowed_down_by_images() -> None:
    pacing = settled({"image": 8 * 2**20, "scalar": 8})
    counts = dict(pacing.next_call() for _ in range(2))
    assert counts[("image",)] == 1
    assert counts[("scalar",)] > 10_000


def test_a_block_larger_than_expected_lowers_the_count_at_once() -> None:
    pacing = settled({"a": 8})
    pacing.saw([("a", 4 * 2**20)])
    assert pacing.next_call() == (("a",), 3)


def test_a_dropped_stream_is_not_asked_for() -> None:
    pacing = settled({"a": 8, "b": 8})
    pacing.drop("a")
    pacing.drop("a")
    pacing.saw([("a", 8)])
    assert pacing.next_call()[0] == ("b",)
    pacing.drop("b")
    assert pacing.next_call() == ((), 1)


def test_after_a_reply_that_was_too_large_it_begins_with_one_entry_of_one_channel() -> None:
    sizes = {f"d{i}": 8 for i in range(3)}
    pacing = settled(sizes)
    pacing.ask_for_less()
    assert [pacing.next_call() for _ in range(3)] == [((name,), 1) for name in sizes]
    for _ in range(30):
        pacing.saw(sizes.items())
    assert pacing.n_groups == 1
    assert pacing.next_call()[1] > 10_000
