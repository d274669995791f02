"""Channels of both generations begin where they are told to."""

from __future__ import annotations

import numpy as np
import pytest

from tango_saver.model.records import ChannelFailed
from tango_saver.model.scan import ChannelKind, ChannelSpec
from tango_saver.source.bliss1.channel import ChannelReader as Bliss1Channel
from tango_saver.source.bliss2.channel import ChannelReader as Bliss2Channel
from tango_saver.source.stream_channel import StreamChannel, point_size

GENERATIONS = [Bliss1Channel, Bliss2Channel]


def numeric(dtype: str, shape: tuple[int | None, ...]) -> ChannelSpec:
    return ChannelSpec("c", "stream", ChannelKind.NUMERIC, np.dtype(dtype), shape)


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        (numeric("<f8", ()), 8),
        (numeric("<u2", (4096,)), 8192),
        (numeric("<u2", (None, 10)), 20),
        (ChannelSpec("c", "stream", ChannelKind.JSON, None, None), 64),
    ],
)
def test_the_size_of_a_point_counts_unknown_dimensions_as_one(spec: ChannelSpec, size: int) -> None:
    assert point_size(spec) == size


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    ("kind", "position"),
    [
        (ChannelKind.NUMERIC, 7),
        (ChannelKind.JSON, 7),
        (ChannelKind.SUBSCANS, 0),
        (ChannelKind.IMAGE_REFERENCE, 0),
    ],
)
def test_only_channels_with_points_begin_inside(
    generation: type[StreamChannel], kind: ChannelKind, position: int
) -> None:
    dtype, shape = (np.dtype("<f8"), ()) if kind is ChannelKind.NUMERIC else (None, None)
    channel = generation(ChannelSpec("c", "stream", kind, dtype, shape), 7)
    assert (channel.position, channel.cursor) == (position, f"{position}-0")


@pytest.mark.parametrize(("generation", "newest"), [(Bliss1Channel, "7-0"), (Bliss2Channel, "6")])
def test_what_holds_a_position_inside_begins_before_it(
    generation: type[StreamChannel], newest: str
) -> None:
    """Point 6 has the id 7-0 in BLISS 1, and 6-1 in BLISS >= 2; Redis takes 6 for all of 6-*."""
    assert generation(numeric("<f8", ()), 7).last_before == newest


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_channel_that_failed_is_not_live(generation: type[StreamChannel]) -> None:
    channel = generation(numeric("<f8", ()), 0)
    assert channel.live
    assert channel.fail("why") == ChannelFailed("c", "why")
    assert not channel.live
