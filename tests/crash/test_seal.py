"""``tango-saver seal``: files that are read-only, and whose every later change is found."""

from __future__ import annotations

import stat
from pathlib import Path

import h5py
import pytest
from publishing import Publishing
from saving import StartSaver, points_in
from typer.testing import CliRunner

from tango_saver.cli import app
from tango_saver.demo.publisher import replay
from tango_saver.model.report import SavingState


def tango_saver(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command line."""
    ended = CliRunner().invoke(app, arguments)
    return ended.exit_code, ended.output


@pytest.fixture
def sealed(recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path) -> Path:
    """The file of a scan, sealed."""
    saver = start_saver()
    saver.reports(replay(recordings / "mca.json.gz", redis_url, tmp_path / "raw", speed=0))
    code, output = tango_saver("seal", str(tmp_path / "raw"))
    path = tmp_path / "raw" / "data.h5"
    assert (code, output) == (0, f"{path}: sealed\n")
    return path


def spectra_of(path: Path) -> tuple[str, int]:
    """A dataset of the file, and where its first chunk begins."""
    with h5py.File(path) as file:
        (entry,) = file
        names = file[f"{entry}/writer/data"]["dataset"]
        name = next(name.decode() for name in names if file[name].ndim > 1)
        return name, file[name].id.get_chunk_info(0).byte_offset


def test_a_sealed_file_is_read_only_and_complete(sealed: Path) -> None:
    for path in (sealed, sealed.with_name("data.h5.seal")):
        assert not stat.S_IMODE(path.stat().st_mode) & 0o222
    code, output = tango_saver("verify", str(sealed.parent))
    assert (code, output.count(": complete")) == (0, 1), output
    assert tango_saver("seal", str(sealed)) == (0, f"{sealed}: sealed before\n")


def test_a_flipped_bit_is_found_with_its_dataset(sealed: Path) -> None:
    name, place = spectra_of(sealed)
    content = bytearray(sealed.read_bytes())
    with h5py.File(sealed) as file:
        plain = file[name].chunks is not None and file[name].compression is None
    sealed.chmod(0o644)
    content[place + (0 if plain else 40)] ^= 1
    sealed.write_bytes(content)
    code, output = tango_saver("verify", str(sealed.parent))
    assert code == 1
    assert f"{name} was changed since it was sealed" in output


def test_what_is_added_removed_or_changed_elsewhere_is_found(sealed: Path) -> None:
    sealed.chmod(0o644)
    with h5py.File(sealed, "a") as file:
        (entry,) = file
        file["notes"] = "added later"
        del file[f"{entry}/title"]
    code, output = tango_saver("verify", str(sealed))
    assert code == 1
    assert "/notes was added since" in output
    assert f"/{entry}/title was removed since" in output
    with h5py.File(sealed, "a") as file:
        file[f"{entry}/title"] = "another"
        assert "/notes" in file
    assert f"/{entry}/title was changed since" in tango_saver("verify", str(sealed))[1]


def test_a_change_of_an_attribute_alone_is_found(sealed: Path) -> None:
    sealed.chmod(0o644)
    with h5py.File(sealed, "a") as file:
        file.attrs["creator"] = "nobody"
    code, output = tango_saver("verify", str(sealed))
    assert code == 1
    assert "though no value of a dataset" in output


def test_a_sealed_file_that_is_gone_is_missed(sealed: Path) -> None:
    sealed.unlink()
    code, output = tango_saver("verify", str(sealed.parent))
    assert code == 1
    assert f"{sealed}: NOT COMPLETE" in output
    assert "is gone" in output


def test_the_next_scan_leaves_a_sealed_file_alone(
    sealed: Path, recordings: Path, redis_url: str, start_saver: StartSaver
) -> None:
    before = sealed.read_bytes()
    saver = start_saver(listens=False)
    keys = replay(recordings / "ascan.json.gz", redis_url, sealed.parent, speed=0)
    saver.conductor.save_scan(keys[0])
    (report,) = saver.reports(keys)
    assert report.state is SavingState.SAVED
    assert report.target == str(sealed.with_name("data_1.h5"))
    assert any("is sealed" in warning for warning in report.warnings)
    assert sealed.read_bytes() == before
    assert tango_saver("seal", "--undo", str(sealed)) == (0, f"{sealed}: unsealed\n")
    assert sealed.stat().st_mode & stat.S_IWUSR
    assert not sealed.with_name("data.h5.seal").exists()


def test_a_file_that_is_being_written_or_is_not_complete_is_not_sealed(
    recordings: Path, redis_url: str, start_saver: StartSaver, tmp_path: Path
) -> None:
    saver = start_saver()
    path = tmp_path / "data.h5"
    publishing = Publishing(recordings / "ascan.json.gz", redis_url, tmp_path, speed=0, hold=True)
    saver.wait_for(lambda status: points_in(status) == 77)
    code, output = tango_saver("seal", "--anyway", str(path))
    assert code == 1
    assert "NOT SEALED" in output
    assert "not finished" in output
    saver.reports(publishing.finish())
    saver.close()
    with h5py.File(path, "a") as file:
        file["/1.1/instrument/robx/value"].resize((9,))
    code, output = tango_saver("seal", str(path))
    assert code == 1
    assert "has 9 points" in output
    assert tango_saver("seal", "--anyway", str(path))[0] == 0
