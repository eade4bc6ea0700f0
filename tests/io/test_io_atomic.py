"""Whole files or none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nbragg.base.errors import FileError
from nbragg.io.files.atomic import check_writable, open_atomic, write_files


def test_new_file_has_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    with open_atomic(tmp_path / "a") as stream:
        stream.write(b"hello")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_bytes() == b"hello"
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["a", "plain"]


def test_text(tmp_path: Path) -> None:
    with open_atomic(tmp_path / "a", "w") as stream:
        stream.write("Å")
    assert (tmp_path / "a").read_bytes() == "Å".encode()
    with pytest.raises(ValueError, match="mode"), open_atomic(tmp_path / "a", "a"):
        pass


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_old_file_survives(tmp_path: Path, error: type[BaseException]) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises((error, FileError)), open_atomic(tmp_path / "a") as stream:
        stream.write(b"new")
        raise error
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_permissions_and_links_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    (tmp_path / "a").chmod(0o640)
    (tmp_path / "link").symlink_to("a")
    write_files([(tmp_path / "link", [b"new"])])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "a").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_group_is_all_or_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(FileError, match="does not exist"):
        write_files([(tmp_path / "a", [b"new"]), (tmp_path / "none" / "b", [b"new"])])
    assert (tmp_path / "a").read_text() == "old"
    write_files([(tmp_path / "a", [b"n", memoryview(b"ew")]), (tmp_path / "b", [])])
    assert (tmp_path / "a").read_text() == "new" and (tmp_path / "b").read_text() == ""
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_devices_are_written_in_place() -> None:
    write_files([("/dev/null", [b"x"])])
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(FileError, match="cannot write /dev/full"):
        write_files([("/dev/full", [b"x"])])


def test_check_writable(tmp_path: Path) -> None:
    check_writable(tmp_path / "new")
    with pytest.raises(FileError, match="is a folder"):
        check_writable(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        check_writable(tmp_path / "no" / "a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_permission(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "a").chmod(0o444)
    with pytest.raises(FileError, match="read-only"):
        check_writable(tmp_path / "a")
    tmp_path.chmod(0o555)
    with pytest.raises(FileError, match="no permission"):
        check_writable(tmp_path / "b")
    tmp_path.chmod(0o755)
