"""Where frames are, by what a detector publishes, against a detector that writes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tango_saver.errors import LayoutError
from tango_saver.layout.references import MOST_FILES, FrameFiles, frame_files
from tango_saver.model.plan import FrameRun
from tango_saver.model.scan import ChannelKind, ChannelSpec

LIMA: dict[str, Any] = {
    "protocol_version": 1,
    "server_url": "tango://host:1/id00/limaccds/cam",
    "frame_per_acquisition": 25,
    "file_offset": 0,
    "file_format": "hdf5",
    "file_path": "/data/scan0001/cam_%04d.h5",
    "data_path": "/entry_0000/cam/data",
    "frame_per_file": 10,
}
LIMA2: dict[str, Any] = {
    "protocol_version": 1,
    "directory": "/data/scan0001",
    "path_template": "{filename_prefix}_{filename_rank}_{file_number:05d}{filename_suffix}",
    "prefix": "cam2",
    "suffix": ".h5",
    "rank": 0,
    "frame_per_acquisition": 25,
    "frame_per_file": 10,
    "data_path": "/entry_0000/cam2/data",
    "file_format": "hdf5",
}
MOSCA: dict[str, Any] = {
    "protocol_version": 1,
    "file_path": "/data/scan0001",
    "file_prefix": "fx_",
    "data_path": "/entry_0000/fx/data",
    "points_per_file": 50,
    "file_format": "hdf5",
    "saving_enabled": True,
    "enabled_detectors": [0, 1],
}
MASTER: dict[str, Any] = {
    "plugin": "lima2",
    "protocol_version": 2,
    "dtype": "uint16",
    "shape": [1, 16, 12],
    "master_file": ["/data/scan0001/cam2_master.h5", "/entry_0000/measurement/data"],
}


def channel(info: dict[str, Any]) -> ChannelSpec:
    return ChannelSpec("cam:image", "s", ChannelKind.IMAGE_REFERENCE, None, None, info=info)


def lima(**changes: Any) -> ChannelSpec:
    info = {"plugin": "lima", "dtype": "uint16", "shape": [16, 12]}
    return channel({**info, "lima_info": {**LIMA, **changes}})


def lima2(**changes: Any) -> ChannelSpec:
    info = {"plugin": "lima2", "dtype": "uint16", "shape": [1, 16, 12]}
    return channel({**info, "lima_info": {**LIMA2, **changes}})


def mosca(**changes: Any) -> ChannelSpec:
    info = {"plugin": "mosca", "dtype": "uint32", "shape": [4096], "detector": 3}
    return channel({**info, "mosca_info": {**MOSCA, **changes}})


def files_of(spec: ChannelSpec) -> FrameFiles:
    files = frame_files(spec)
    assert files is not None
    return files


def written(
    n_frames: int, per_acquisition: int, per_file: int, first_number: int
) -> Iterator[tuple[int, int]]:
    """File number and place in it of each frame, as a detector counts them up."""
    number, index, in_acquisition = first_number, 0, 0
    for _ in range(n_frames):
        acquisition_is_full = per_acquisition and in_acquisition == per_acquisition
        if acquisition_is_full or (per_file and index == per_file):
            number, index = number + 1, 0
        if acquisition_is_full:
            in_acquisition = 0
        yield number, index
        index, in_acquisition = index + 1, in_acquisition + 1


series = st.tuples(st.integers(0, 12), st.integers(0, 6), st.integers(0, 3))


@given(series, st.integers(0, 60), st.data())
def test_every_frame_is_where_the_detector_wrote_it(
    numbers: tuple[int, int, int], n_frames: int, data: st.DataObject
) -> None:
    per_acquisition, per_file, offset = numbers
    first = data.draw(st.integers(0, n_frames))
    files = files_of(
        lima(frame_per_acquisition=per_acquisition, frame_per_file=per_file, file_offset=offset)
    )
    runs = list(files.runs(first, n_frames))
    found = [
        (run.file, run.first_frame + offset_in_run)
        for run in runs
        for offset_in_run in range(run.n_frames)
    ]
    expected = [
        (f"/data/scan0001/cam_{number:04d}.h5", index)
        for number, index in written(n_frames, per_acquisition, per_file, offset)
    ]
    assert found == expected[first:]
    assert [run.first_point for run in runs] == [
        first + sum(run.n_frames for run in runs[:i]) for i in range(len(runs))
    ]
    assert len({run.file for run in runs}) == len(runs)


@given(series, st.integers(0, 60))
def test_a_file_is_readable_once_a_frame_of_the_next_one_is_saved(
    numbers: tuple[int, int, int], saved: int
) -> None:
    per_acquisition, per_file, offset = numbers
    files = files_of(
        lima(frame_per_acquisition=per_acquisition, frame_per_file=per_file, file_offset=offset)
    )
    frames = [number for number, _ in written(saved, per_acquisition, per_file, offset)]
    complete = [number for number in frames if number < frames[-1]]
    assert files.readable(saved, ended=False) == len(complete)
    assert files.readable(saved, ended=True) == saved


def test_frames_are_counted_by_what_is_saved_and_never_by_what_is_acquired() -> None:
    counted = files_of(lima()).counts({"last_index": 24, "last_index_saved": 18})
    assert (counted.acquired, counted.saved) == (25, 19)
    counted = files_of(lima()).counts({"last_index": -1, "last_index_saved": -1})
    assert (counted.acquired, counted.saved) == (0, 0)
    counted = files_of(lima2()).counts({"nb_frames_acquired": 25, "nb_frames_xferred": 7})
    assert (counted.acquired, counted.saved) == (25, 7)
    counted = files_of(mosca()).counts({"last_read_index": 9, "last_saved_index": 3})
    assert (counted.acquired, counted.saved) == (10, 4)
    assert files_of(channel(MASTER)).counts(25).saved == 25


def test_lima2_names_its_files_after_a_template() -> None:
    files = files_of(lima2())
    assert files.shape == (1, 16, 12)
    assert files.dtype == np.dtype("uint16")
    assert list(files.runs(18, 22)) == [
        FrameRun("/data/scan0001/cam2_0_00001.h5", 8, 2, 18),
        FrameRun("/data/scan0001/cam2_0_00002.h5", 0, 2, 20),
    ]


def test_a_master_file_is_one_source_for_all_frames() -> None:
    files = files_of(channel(MASTER))
    assert files.dataset == "/entry_0000/measurement/data"
    assert files.is_master
    assert files.readable(25, ended=False) == 25
    assert list(files.runs(0, 25)) == [FrameRun("/data/scan0001/cam2_master.h5", 0, 25, 0)]


def test_mosca_has_one_dataset_for_each_detector() -> None:
    files = files_of(mosca())
    assert files.dataset == "/entry_0000/fx/data/spectra_03"
    assert files.shape == (4096,)
    assert list(files.runs(49, 51)) == [
        FrameRun("/data/scan0001/fx_spectra_0000.h5", 49, 1, 49),
        FrameRun("/data/scan0001/fx_spectra_0001.h5", 0, 1, 50),
    ]


@pytest.mark.parametrize("file_format", ["edf", "EDFGZ", "cbf", "tiff"])
def test_files_that_are_not_hdf5_have_no_dataset(file_format: str) -> None:
    files = files_of(lima(file_format=file_format, data_path=None, file_path="/d/a_%04d.edf"))
    assert (files.dataset, files.file_format) == ("", file_format.lower())


@pytest.mark.parametrize(
    "spec",
    [
        channel({"plugin": "lima", "lima_info": {"protocol_version": 1}}),
        channel({"plugin": "lima2", "lima_info": {"protocol_version": 1}}),
        channel({**MASTER, "master_file": None}),
        mosca(saving_enabled=False),
        mosca(file_format=None),
        channel({"plugin": "mosca", "mosca_info": {"server_url": "", "acq_id": 1}}),
    ],
)
def test_a_detector_that_was_told_not_to_save_has_no_files(spec: ChannelSpec) -> None:
    assert frame_files(spec) is None


@pytest.mark.parametrize(
    ("pattern", "number", "name"),
    [
        ("/d/cam_%04d.h5", 7, "/d/cam_0007.h5"),
        ("/d/cam_%04d.h5", 123456, "/d/cam_123456.h5"),
        ("/d/cam_%d.h5", 7, "/d/cam_7.h5"),
        ("/d/cam_%02i.h5", 7, "/d/cam_07.h5"),
        ("/d/100%%_%03d.h5", 7, "/d/100%_007.h5"),
        ("/d/%03d/cam.h5", 7, "/d/007/cam.h5"),
    ],
)
def test_printf_patterns_with_one_number_are_filled(pattern: str, number: int, name: str) -> None:
    assert files_of(lima(file_path=pattern)).names.name(number) == name


@pytest.mark.parametrize(
    "pattern",
    [
        "/d/cam.h5", "/d/%d_%d.h5", "/d/%s.h5", "/d/%4d.h5", "/d/%*d.h5", "/d/%99d.h5", "/d/%",
        "cam_%04d.h5", "/d/../%04d.h5", "/d/%n%04d.h5", "/d/%.3f.h5", "/" + "x" * 5000 + "%d",
        "/d/\0%d", 7, ["/d/%d"],
    ],
)  # fmt: skip
def test_other_patterns_are_refused(pattern: Any) -> None:
    with pytest.raises(LayoutError, match="where its images are is not clear"):
        frame_files(lima(file_path=pattern))


@pytest.mark.parametrize(
    "template",
    [
        "{filename_prefix}.h5", "{file_number}{file_number}", "{}", "{0}", "{file_number!r}",
        "{file_number.__class__}", "{file_number:{filename_rank}d}", "{file_number:>5}",
        "{file_number:099d}", "../{file_number}", "{filename_prefix}/{file_number}",
        "{secret}{file_number}", "{file_number", "{file_number:05d}}",
    ],
)  # fmt: skip
def test_templates_that_are_no_plain_file_name_are_refused(template: str) -> None:
    with pytest.raises(LayoutError):
        frame_files(lima2(path_template=template))


def test_a_field_of_a_template_cannot_lead_to_another_folder() -> None:
    for prefix in ("../../etc/cam", "/etc/cam", None, 1.5, {"a": 1}):
        with pytest.raises(LayoutError):
            frame_files(lima2(prefix=prefix))


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_per_file": -1}, {"frame_per_file": "10"}, {"frame_per_file": None},
        {"frame_per_acquisition": True}, {"data_path": None}, {"file_format": None},
        {"file_offset": 2**40},
    ],
)  # fmt: skip
def test_malformed_numbers_and_names_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LayoutError):
        frame_files(lima(**changes))


@pytest.mark.parametrize("dtype", ["O", "object", "V8", "S3", "(9,)u1", "u1,u2", None, 7, "M8[s]"])
def test_frames_are_numbers(dtype: Any) -> None:
    spec = lima()
    with pytest.raises(LayoutError):
        frame_files(channel({**spec.info, "dtype": dtype}))


@pytest.mark.parametrize("shape", [[0, 3], [-1, 3], ["3"], None, [1.5], [1] * 20, [True, 3]])
def test_frames_have_a_size(shape: Any) -> None:
    spec = lima()
    with pytest.raises(LayoutError):
        frame_files(channel({**spec.info, "shape": shape}))


def test_a_status_that_announces_too_many_files_is_an_error_and_no_endless_work() -> None:
    files = files_of(lima(frame_per_file=1, frame_per_acquisition=0))
    assert files.counts({"last_index": 5, "last_index_saved": MOST_FILES - 1}).saved == MOST_FILES
    with pytest.raises(LayoutError, match="more than"):
        files.counts({"last_index": 5, "last_index_saved": MOST_FILES})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_any_status_is_counted_or_refused(status: Any) -> None:
    for spec in (lima(), lima2(), mosca(), channel(MASTER)):
        try:
            counted = files_of(spec).counts(status)
        except LayoutError:
            continue
        assert 0 <= counted.saved <= counted.acquired


@given(
    st.sampled_from([LIMA, LIMA2, MOSCA, MASTER]),
    st.sampled_from(sorted({*LIMA, *LIMA2, *MOSCA, *MASTER})),
    json_values,
)
def test_any_info_is_understood_or_refused(part: dict[str, Any], key: str, value: Any) -> None:
    info = {
        "dtype": "uint16", "shape": [2, 3], "detector": 0,
        "plugin": "mosca" if part is MOSCA else "lima2" if part is LIMA2 else "lima",
        "lima_info": {**part, key: value}, "mosca_info": {**part, key: value},
    }  # fmt: skip
    if part is MASTER:
        info = {**MASTER, key: value}
    try:
        files = frame_files(channel(info))
    except LayoutError:
        return
    if files is not None:
        assert all(run.file.startswith("/") for run in files.runs(0, 3))
