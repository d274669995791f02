"""What the sink makes of plans that follow a map."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from file.sink_plans import plan_of, stream, text_stream
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tango_saver.model.plan import (
    ExternalBinary,
    ExternalFile,
    FilePlan,
    Group,
    Node,
    Selection,
    SoftLink,
    Value,
    VirtualDataset,
    VirtualSource,
)
from tango_saver.model.records import FixedPoints
from tango_saver.sink.file import TargetFile
from tango_saver.sink.scan import ScanInFile


@contextmanager
def saving(plan: FilePlan) -> Iterator[ScanInFile]:
    file = TargetFile.open(Path(plan.target))
    try:
        yield file.begin(plan)
    finally:
        file.close()


def write(path: Path, *nodes: Node) -> tuple[str, ...]:
    """Make the nodes; the warnings."""
    with saving(plan_of(path, nodes=nodes)) as scan:
        return scan.warnings


def whole(*shape: int) -> Selection:
    return Selection((0,) * len(shape), shape, (1,) * len(shape), (1,) * len(shape))


def test_tables_with_texts_and_nested_tables_are_datasets_and_attributes(tmp_path: Path) -> None:
    inner = np.dtype([("name", object), ("flag", "?")])
    table = np.array(
        [(1, ("bob", True), 0.5, 1 + 2j), (2, ("zoë", False), 1.5, 3j)],
        [("id", "<i8"), ("inner", inner), ("x", ">f4"), ("z", "<c8")],
    )
    nodes = Value("/1.1/table", table, {"table": table}), Value("/1.1/one", table[0:1].reshape(()))
    assert write(tmp_path / "a.h5", *nodes) == ()
    with h5py.File(tmp_path / "a.h5") as file:
        for found in (file["1.1/table"][()], file["1.1/table"].attrs["table"]):
            assert found.dtype["x"] == ">f4"
            assert found["inner"]["name"].tolist() == [b"bob", "zoë".encode()]
            assert found["inner"]["flag"].tolist() == [True, False]
            assert found["z"].tolist() == [1 + 2j, 3j]
        assert file["1.1/one"].shape == ()
        assert file["1.1/one"][()]["id"] == 1


def test_an_external_binary_reads_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(24, dtype="<u2")
    values[:10].tofile(tmp_path / "a.bin")
    (tmp_path / "b.bin").write_bytes(b"head" + values[10:].tobytes())
    files = (
        ExternalFile(str(tmp_path / "a.bin"), 0, 20),
        ExternalFile(str(tmp_path / "b.bin"), 4, None),
    )
    node = ExternalBinary("/1.1/raw", np.dtype("<u2"), (4, 6), files, {"units": "counts"})
    assert write(tmp_path / "x.h5", node) == ()
    monkeypatch.chdir("/")
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["1.1/raw"], values.reshape(4, 6))
        assert file["1.1/raw"].attrs["units"] == "counts"


def test_an_external_binary_that_is_too_small_costs_itself(tmp_path: Path) -> None:
    files = (ExternalFile("/nowhere", 0, 4),)
    (warning,) = write(tmp_path / "x.h5", ExternalBinary("/1.1/raw", np.dtype("u1"), (5,), files))
    assert "/1.1/raw" in warning
    with h5py.File(tmp_path / "x.h5") as file:
        assert "title" in file["1.1"]


@st.composite
def selections(draw: st.DrawFn) -> tuple[Selection, Selection]:
    """Two selections of the same number of elements, in two dimensions."""
    count = tuple(draw(st.integers(1, 3)) for _ in range(2))
    block = tuple(draw(st.integers(1, 3)) for _ in range(2))
    chosen = []
    for _ in range(2):
        start = tuple(draw(st.integers(0, 3)) for _ in range(2))
        stride = tuple(width + draw(st.integers(0, 2)) for width in block)
        chosen.append(Selection(start, count, stride, block))
    return chosen[0], chosen[1]


def indices(selection: Selection) -> list[tuple[int, ...]]:
    """The elements of a selection in C order, by brute force."""
    per_dimension = [
        sorted(start + k * stride + j for k in range(count) for j in range(block))
        for start, count, stride, block in zip(
            selection.start, selection.count, selection.stride, selection.block, strict=True
        )
    ]
    return [(i, j) for i in per_dimension[0] for j in per_dimension[1]]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(selections())
def test_a_virtual_dataset_shows_what_its_selections_say(
    tmp_path: Path, chosen: tuple[Selection, Selection]
) -> None:
    source, selection = chosen
    values = np.arange(400.0).reshape(20, 20) + 1
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["d"] = values
    (tmp_path / "x.h5").unlink(missing_ok=True)
    node = VirtualDataset(
        "/1.1/v",
        np.dtype("<f8"),
        (20, 20),
        (VirtualSource("source.h5", "/d", source, selection),),
        {"units": "mm"},
    )
    assert write(tmp_path / "x.h5", node) == ()
    expected = np.full((20, 20), np.nan)
    for target, origin in zip(indices(selection), indices(source), strict=True):
        expected[target] = values[origin]
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_array_equal(file["1.1/v"], expected)
        assert file["1.1/v"].attrs["units"] == "mm"


def test_a_virtual_dataset_may_show_its_own_file(tmp_path: Path) -> None:
    part = VirtualSource(".", "/1.1/a", whole(3), whole(3))
    node = VirtualDataset("/1.1/v", np.dtype("<i8"), (4,), (part,))
    write(tmp_path / "x.h5", Value("/1.1/a", np.arange(5)), node)
    (tmp_path / "x.h5").rename(tmp_path / "y.h5")
    with h5py.File(tmp_path / "y.h5") as file:
        assert file["1.1/v"][()].tolist() == [0, 1, 2, 0]


def exact(path: Path, *nodes: Node, **parts: Any) -> FilePlan:
    return replace(plan_of(path, nodes=nodes), exact=True, **parts)


def test_an_exact_plan_removes_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    first = exact(
        path,
        Group("/1.1/g", {"a": 1, "b": 2}),
        Group("/1.1/g/inner"),
        Value("/1.1/g/inner/v", 1),
        SoftLink("/1.1/g/link", "inner"),
        Group("/1.1/was_group"),
        Value("/1.1/was_group/v", 1),
        Value("/1.1/was_value", 1),
    )
    second = exact(
        path,
        Group("/1.1/g", {"b": 3}),
        Value("/1.1/was_group", 2),
        Group("/1.1/was_value"),
        Value("/1.1/was_value/v", 3),
    )
    with saving(first) as scan:
        scan.update(second)
        assert scan.warnings == ()
        scan.finish(second)
    with h5py.File(path) as file:
        assert list(file["1.1/g"]) == []
        assert dict(file["1.1/g"].attrs) == {"b": 3}
        assert file["1.1/was_group"][()] == 2
        assert file["1.1/was_value/v"][()] == 3
        assert "end_time" in file["1.1"]


def test_any_other_plan_removes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with saving(plan_of(path, nodes=(Value("/1.1/v", 1),))) as scan:
        scan.finish(plan_of(path))
    with h5py.File(path) as file:
        assert file["1.1/v"][()] == 1


def test_points_outlive_their_place_in_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    group = Group("/1.1/instrument/a", {"NX_class": "NXdetector"})
    planned = stream("a", companions=())
    first = exact(path, group, streams={"a": (planned,)})
    second = exact(path, Value("/1.1/instrument/a", 5))
    with saving(first) as scan:
        scan.append("a", 0, FixedPoints(np.arange(3.0)))
        scan.finish(second)
        assert any("points of channel a stay" in sentence for sentence in scan.warnings)
    with h5py.File(path) as file:
        assert file["1.1/instrument/a/data"][()].tolist() == [0, 1, 2]


def test_attributes_of_points_follow_an_exact_plan(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    planned = stream("a", companions=(), attributes={"units": "s", "gone": 1})
    first = exact(path, streams={"a": (planned,)})
    second = exact(path, streams={"a": (replace(planned, attributes={"units": "ms"}),)})
    with saving(first) as scan:
        scan.append("a", 0, FixedPoints(np.arange(3.0)))
        scan.finish(second)
    with h5py.File(path) as file:
        assert dict(file["1.1/instrument/a/data"].attrs) == {"units": "ms"}


@pytest.mark.parametrize("n_points", [0, 3])
def test_datasets_made_at_once_are_there_before_their_points(tmp_path: Path, n_points: int) -> None:
    path = tmp_path / "x.h5"
    specs = (
        stream("a", shape=(4,), chunk=(2, 4), companions=()),
        stream("b", shape=(None,), chunk=(2, 4), companions=()),
        replace(text_stream("c"), companions=()),
    )
    plan = exact(path, streams={spec.channel: (replace(spec, at_once=True),) for spec in specs})
    with saving(plan) as scan:
        snapshot = shutil.copy(path, tmp_path / "snapshot.h5")
        with h5py.File(snapshot) as file:
            assert file["1.1/instrument/a/data"].shape == (0, 4)
            assert file["1.1/instrument/b/data"].shape == (0, 0)
            assert file["1.1/instrument/c/data"].shape == (0,)
        scan.append("a", 0, FixedPoints(np.ones((n_points, 4))))
        scan.finish(plan)
    with h5py.File(path) as file:
        assert file["1.1/instrument/a/data"].shape == (n_points, 4)


def test_empty_datasets_are_taken_up_again(tmp_path: Path) -> None:
    plan = exact(
        tmp_path / "x.h5", streams={"a": (replace(stream("a", companions=()), at_once=True),)}
    )
    with saving(plan):
        pass
    file = TargetFile.open(Path(plan.target))
    scan = file.resume(plan, {})
    scan.append("a", 0, FixedPoints(np.arange(2.0)))
    scan.finish(plan)
    file.close()
    with h5py.File(plan.target) as opened:
        assert opened["1.1/instrument/a/data"][()].tolist() == [0, 1]
