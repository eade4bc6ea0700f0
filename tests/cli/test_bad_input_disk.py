"""Full disks and files that cannot be replaced: all files are new or all are old."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import acceptance as a
import golden_cases as g
import pytest
from bad_input import GOOD, assert_refused, contents

from nbragg.base.errors import FileError
from nbragg.io.files import atomic


class FullDisk:
    """A file that takes so many bytes in all and then reports a full disk."""

    def __init__(self, stream: Any, left: list[int]) -> None:
        self._stream, self._left = stream, left

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._left[0] -= size
        if self._left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._stream.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __enter__(self) -> FullDisk:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stream.close()


@pytest.mark.parametrize("room", [0, 100, 300, 700, 1000])
def test_disk_full_half_way(
    room: int, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are new or all are old, wherever the disk fills up, and no temporary file stays."""
    for name in ("f.bin", "i.img", "p.pgm", "n.img"):
        (folder / name).write_bytes(b"older " + name.encode())
    left = [room]

    def open_full(path: Any, mode: str = "r", *rest: Any, **kw: Any) -> Any:
        stream = open(path, mode, *rest, **kw)  # noqa: SIM115 - closed by its user
        return FullDisk(stream, left) if set(mode) & set("wxa+") else stream

    monkeypatch.setattr(atomic, "open", open_full, raising=False)
    line = a.words(GOOD, "-floatfile f.bin -intfile i.img -pgmfile p.pgm -noisefile n.img")
    assert_refused(line, folder, capsys, "No space left")
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert g.run_cli(line) == 0
    assert len(contents(folder)) == 4 and (folder / "f.bin").stat().st_size == 8 * 8 * 4


def test_really_full_disk(folder: Path) -> None:
    """The same with the system's own refusal: a limit on the size of files."""
    (folder / "f.bin").write_bytes(b"older")
    words = a.words(GOOD, "-detpixels 100 -floatfile f.bin -intfile i.img -nonoise -nopgm")

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = subprocess.run(
        [sys.executable, "-m", "nbragg", *words], preexec_fn=limit, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2, done.stderr
    assert "f.bin" in done.stderr and "Traceback" not in done.stderr
    assert contents(folder) == {"f.bin": b"older"}


def test_disk_full_while_dumping(
    inputs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old dump file survives, too."""
    (inputs / "Fdump.bin").write_bytes((inputs / "good.bin").read_bytes())

    def open_full(path: Any, mode: str = "r", *rest: Any, **kw: Any) -> Any:
        stream = open(path, mode, *rest, **kw)  # noqa: SIM115 - closed by its user
        return FullDisk(stream, [5]) if set(mode) & set("wxa+") else stream

    monkeypatch.setattr(atomic, "open", open_full, raising=False)
    assert_refused(a.words(GOOD, "-hkl good.hkl"), inputs, capsys, "Fdump.bin", "No space left")


def test_open_atomic_keeps_the_old_file(folder: Path) -> None:
    """Whatever is raised while writing: an exception, an interrupt."""
    target = folder / "file"
    for error in (RuntimeError, KeyboardInterrupt, OSError):
        target.write_bytes(b"older")
        with pytest.raises((error, FileError)), atomic.open_atomic(target) as stream:
            stream.write(b"half of")
            raise error
        assert contents(folder) == {"file": b"older"}
    with pytest.raises(FileError), atomic.open_atomic(folder / "absent" / "file"):
        pass
