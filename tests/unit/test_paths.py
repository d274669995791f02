from __future__ import annotations

from pathlib import Path

import pytest

from tango_saver.errors import TargetPathError
from tango_saver.sink.paths import check_target, disk_free_bytes


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "is empty"),
        ("data.h5", "is not an absolute path"),
        ("./data.h5", "is not an absolute path"),
        ("../data.h5", "is not an absolute path"),
        ("/data/../etc/passwd", 'has ".."'),
        ("/data/..", 'has ".."'),
        ("/data/a\0b.h5", "NUL"),
        ("/data/", "is a folder"),
        ("/data/" + "x" * 256, "longer"),
        ("/data/" + "é" * 128, "longer"),
        ("/data" + "/x" * 2100, "longer"),
        ("/data/\ud800.h5", "characters"),
    ],
)
def test_a_target_that_is_no_safe_path_is_refused(path: str, reason: str) -> None:
    with pytest.raises(TargetPathError, match=reason) as caught:
        check_target(path, [])
    assert caught.value.advice


def test_dots_inside_a_name_are_no_way_up(tmp_path: Path) -> None:
    target = str(tmp_path / "..hidden" / "a..b.h5")
    assert str(check_target(target, [str(tmp_path)])) == target


def test_without_roots_every_absolute_path_is_allowed(tmp_path: Path) -> None:
    target = tmp_path / "new" / "data.h5"
    assert check_target(str(target), []) == target


def test_a_target_outside_of_the_roots_is_refused(tmp_path: Path) -> None:
    roots = [str(tmp_path / "data"), str(tmp_path / "inhouse")]
    assert check_target(f"{roots[1]}/a/b.h5", roots)
    for outside in (f"{tmp_path}/b.h5", f"{roots[0]}2/b.h5", roots[0], "/data/b.h5"):
        with pytest.raises(TargetPathError, match="outside the allowed roots"):
            check_target(outside, roots)


def test_a_symbolic_link_does_not_lead_out_of_the_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "file.h5").symlink_to(outside / "file.h5")
    for escape in (root / "folder" / "new.h5", root / "file.h5"):
        with pytest.raises(TargetPathError, match=str(outside)):
            check_target(str(escape), [str(root)])


def test_a_root_may_itself_be_a_symbolic_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "data"
    real.mkdir()
    link.symlink_to(real)
    assert check_target(f"{link}/a.h5", [str(link)]) == real / "a.h5"


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(TargetPathError, match="cannot be followed"):
        check_target(f"{tmp_path}/a/x.h5", [])


def test_free_space_is_that_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    there = disk_free_bytes(tmp_path)
    assert abs(disk_free_bytes(tmp_path / "not" / "yet" / "data.h5") - there) < there / 2
    assert there > 0
