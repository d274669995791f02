"""What BLISS 1 pickled is read without unpickling."""

from __future__ import annotations

import datetime as dt
import pickle
import sys
import tracemalloc
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from bliss1_payloads import mutated, recorded_payloads
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tango_saver.errors import DocumentError
from tango_saver.model.records import ChannelFailed, GapFound, PointsArrived
from tango_saver.model.scan import ChannelKind, ChannelSpec
from tango_saver.source.bliss1.channel import ChannelReader
from tango_saver.source.bliss1.classes import DecodingError, Inert, dtype_of
from tango_saver.source.bliss1.pickled import decode
from tango_saver.source.bliss1.plain import plain

PROTOCOLS = (2, 3, 4, 5)
NUMBERS = st.one_of(
    hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(),
    hnp.boolean_dtypes(), hnp.complex_number_dtypes(),
)  # fmt: skip
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)  # fmt: skip


class Trap:
    """Whose unpickling would run a program."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("__import__('antigravity')",)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(value=PLAIN)
def test_plain_values_are_what_was_pickled(protocol: int, value: Any) -> None:
    assert decode(pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(
    array=NUMBERS.flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
    ),
    fortran=st.booleans(),
)
def test_arrays_are_what_was_pickled(protocol: int, array: Any, *, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran and array.ndim else array
    found = decode(pickle.dumps(array, protocol))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "value",
    [
        np.float64(1.5), np.int16(-3), np.array(["a", "bc"]), dt.timedelta(1, 2, 3), 1 + 2j,
        dt.datetime(2026, 11, 24, 17, 9, 5, 773577),  # noqa: DTZ001 - as BLISS publishes it
        dt.datetime(2026, 11, 24, tzinfo=dt.UTC), dt.date(2026, 11, 24), dt.time(1, 2, 3, 4),
        np.dtype(">i2"), OrderedDict(a=1),
    ],
)  # fmt: skip
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_classes_of_the_list_are_built(value: Any, protocol: int) -> None:
    found = decode(pickle.dumps(value, protocol))
    assert np.array_equal(found, value) if isinstance(value, np.ndarray) else found == value


def test_a_published_class_is_a_dtype() -> None:
    assert dtype_of(decode(pickle.dumps(np.float32, 4))) == np.dtype("f4")
    assert dtype_of(decode(pickle.dumps(bool, 4))) == np.dtype("?")
    assert dtype_of(decode(pickle.dumps(Trap, 4))) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_unknown_class_is_inert_and_nothing_is_called(protocol: int) -> None:
    found = decode(pickle.dumps({"trap": Trap(), "good": 1}, protocol))
    assert found["good"] == 1
    assert isinstance(found["trap"], Inert)
    assert "antigravity" not in sys.modules
    assert plain(found) == {"trap": f"<{found['trap'].name}>", "good": 1}


def test_the_state_of_a_class_cannot_be_set() -> None:
    poison = b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}\x8c\x04name\x8c\x04evil\x86s\x86b."
    with pytest.raises(DecodingError):
        decode(poison)
    assert decode(pickle.dumps(np.dtype("f8"), 4)) == np.dtype("f8")


def test_an_array_cannot_be_larger_than_its_bytes() -> None:
    raw = pickle.dumps(np.zeros(1), 4)
    huge = raw.replace(b"K\x01\x85", b"\x8a\x06\0\0\0\0\0\x01\x85")
    assert huge != raw
    with pytest.raises(DecodingError, match="as large as its shape"):
        decode(huge)


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\x80", b"\x80\x04.", b"\x80\x04(.", b"\x80\x09N.", b"N.", b"\x80\x04N",
        b"\x80\x04Pabc\n.", b"\x80\x04NQ.", b"\x80\x04\x82\x01.", b"\x80\x04]]a]\x86R.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fx.", b"\x80\x04h\x05.", b"\x80\x04}]]s.",
    ],
)  # fmt: skip
def test_damage_is_a_decoding_error(payload: bytes) -> None:
    with pytest.raises(DecodingError):
        decode(payload)


def test_a_far_place_in_the_memo_takes_no_memory() -> None:
    tracemalloc.start()
    assert decode(b"\x80\x04Nr\xff\xff\xff\x7f.") is None
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_tuples_nested_a_million_times_crash_nothing() -> None:
    deep = b"\x80\x04N" + b"\x85" * 1_000_000
    assert isinstance(decode(deep + b"."), tuple)
    with pytest.raises(DecodingError):
        decode(b"\x80\x04}" + deep[2:] + b"Ns.")
    with pytest.raises(DocumentError):
        plain(decode(deep + b"."))


def test_a_value_that_holds_itself_many_times_over_is_refused() -> None:
    doubling = b"\x80\x04]q\0" + b"".join(
        b"]q" + bytes([n]) + b"(h" + bytes([n - 1]) + b"h" + bytes([n - 1]) + b"e"
        for n in range(1, 50)
    )
    with pytest.raises(DocumentError):
        plain(decode(doubling + b"."))


def test_a_list_within_itself_is_refused() -> None:
    with pytest.raises(DocumentError):
        plain(decode(b"\x80\x04]q\0h\0a."))


def test_all_that_bliss_published_is_decoded() -> None:
    payloads = recorded_payloads()
    assert len(payloads) > 5000
    for payload in payloads:
        plain(decode(payload))


def test_mutated_payloads_raise_decoding_errors_alone() -> None:
    payloads = [raw for raw in recorded_payloads("ascan", "mca", "lima_hdf5") if len(raw) < 20_000]
    known = set(sys.modules)
    n_decoded = 0
    for payload in mutated(payloads, 4000, seed=1):
        try:
            plain(decode(payload))
            n_decoded += 1
        except (DecodingError, DocumentError):
            continue
    assert 100 < n_decoded < 3900
    assert set(sys.modules) == known


def test_mutated_entries_end_in_the_channels_failure_alone() -> None:
    good = [raw for raw in recorded_payloads("mca") if len(raw) < 5000]
    spec = ChannelSpec("c", "s", ChannelKind.NUMERIC, np.dtype("u4"), (128,))
    for payload in mutated(good, 2000, seed=2):
        reader = ChannelReader(spec, 0)
        fields = [b"__EVENT__", b"CHANNELDATA", b"__NPOINTS__", b"1", b"__DATA__", payload]
        records, _ = reader.take([[b"1-0", fields]])
        assert all(isinstance(r, PointsArrived | ChannelFailed | GapFound) for r in records)
