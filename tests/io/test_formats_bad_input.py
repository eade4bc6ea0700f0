"""Files missing, empty, cut, gigantic or not what their name says: one clear error, nothing written."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pytest
from format_files import DATA, scene

import nbragg.base.optional
from nbragg import StructureFactors
from nbragg.base.errors import FileError, InputError, MemoryLimitError, MissingPackageError, NbraggError
from nbragg.io.images import read_image, read_mask, save_image
from nbragg.io.reflections import mtz_cif as reflections
from nbragg.io.reflections.formats import read_structure_factors

IMAGE = np.random.default_rng(1).integers(1, 60000, (30, 40)).astype(np.uint16)


def _read_factors(path: Path) -> Any:
    return read_structure_factors(path, d_min_A=None if path.suffix == ".mtz" else 2.5)


SOURCES: dict[str, tuple[Callable[[Path], None], Callable[[Path], Any]]] = {
    "a.mtz": (lambda p: _copy("5e5z.mtz", p), _read_factors),
    "a.pdb": (lambda p: _copy("5e5z.pdb", p), _read_factors),
    "a.cif": (lambda p: _copy("1011031.cif", p), _read_factors),
    "b.cif": (lambda p: _write_sf_cif(p), _read_factors),
    "a.img": (lambda p: save_image(p, IMAGE, scene=scene()), read_image),
    "a.tif": (lambda p: save_image(p, IMAGE), read_image),
    "a.cbf": (lambda p: save_image(p, IMAGE, scene=scene()), read_image),
    "a.nxs": (lambda p: save_image(p, IMAGE, scene=scene()), read_image),
    "a.npy": (lambda p: save_image(p, IMAGE), read_image),
}


def _write_sf_cif(path: Path) -> None:
    mtz = gemmi.read_mtz_file(str(DATA / "5e5z.mtz"))
    path.write_text(gemmi.MtzToCif().write_cif_to_string(mtz))


def _copy(name: str, path: Path) -> None:
    path.write_bytes((DATA / name).read_bytes())


@pytest.mark.parametrize("name", list(SOURCES))
def test_whole_empty_missing_folder(tmp_path: Path, name: str) -> None:
    write, read = SOURCES[name]
    path = tmp_path / name
    with pytest.raises(FileError, match="does not exist"):
        read(path)
    path.mkdir()
    with pytest.raises(FileError, match="is not a file"):
        read(path)
    path.rmdir()
    path.write_bytes(b"")
    with pytest.raises(FileError, match="is empty"):
        read(path)
    path.unlink()
    write(path)
    assert read(path) is not None


@pytest.mark.parametrize("name", [n for n in SOURCES if Path(n).suffix not in (".pdb", ".cif")])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
def test_truncated(tmp_path: Path, name: str, share: float) -> None:
    write, read = SOURCES[name]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(FileError):
        read(path)


@pytest.mark.parametrize("name", list(SOURCES))
def test_any_cut_is_read_or_refused(tmp_path: Path, name: str) -> None:
    """A cut PDB file is a shorter PDB file: not every cut can be seen."""
    write, read = SOURCES[name]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    for end in range(1, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:end])
        try:
            read(path)
        except NbraggError as error:
            assert len(str(error)) > 10


@pytest.mark.parametrize("name", list(SOURCES))
def test_damaged_bytes_never_crash(tmp_path: Path, name: str) -> None:
    write, read = SOURCES[name]
    path = tmp_path / name
    write(path)
    content = path.read_bytes()
    rng = np.random.default_rng(9)
    for _ in range(40):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 8):
            damaged[place] = int(rng.integers(256))
        path.write_bytes(damaged)
        try:
            read(path)
        except NbraggError as error:
            assert len(str(error)) > 10


@pytest.mark.parametrize("name", list(SOURCES))
@pytest.mark.parametrize("other", list(SOURCES))
def test_suffix_and_content_disagree(tmp_path: Path, name: str, other: str) -> None:
    if Path(name).suffix == Path(other).suffix:
        return
    path = tmp_path / "a"
    SOURCES[other][0](tmp_path / other)
    path = tmp_path / ("wrong" + Path(name).suffix)
    (tmp_path / other).rename(path)
    if Path(name).suffix == ".cif" and other == "a.cbf":  # imgCIF files may be called .cif
        return
    with pytest.raises(FileError, match=r"is named as .* but holds .*: rename it or give the right file"):
        SOURCES[name][1](path)


@pytest.mark.parametrize("content", [b"hello\n", b"\0" * 5000, bytes(range(256)) * 40])
def test_nothing_known(tmp_path: Path, content: bytes) -> None:
    for suffix in ("", ".dat", ".mtz", ".pdb", ".cif", ".hkl"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content)
        with pytest.raises(FileError):
            read_structure_factors(path)
        with pytest.raises(FileError):
            StructureFactors.from_file(path)
        with pytest.raises(FileError):
            read_image(path)
        with pytest.raises(FileError):
            read_mask(path)


def test_gigantic_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.mtz", "a.pdb"):
        path = tmp_path / name
        SOURCES[name][0](path)
        with path.open("r+b") as stream:
            stream.truncate(5 * 2**30)  # sparse: takes no room on disk
        with pytest.raises(FileError, match=r"5\.0 GiB; at most"):
            _read_factors(path)
    path = tmp_path / "a.npy"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (3000000, 3000000), }"
    header = header.ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 800)
    with pytest.raises(FileError, match="cannot be read as a NumPy array"):
        read_image(path)
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("entry/data/data", shape=(2_000_000, 2_000_000), dtype="f8", chunks=(1000, 1000))
    with pytest.raises(MemoryLimitError, match="of memory"):
        read_image(tmp_path / "a.h5")
    with pytest.raises(InputError, match="at most 1073741824 pixels"):
        read_image(tmp_path / "a.npy", shape=(10**6, 10**6))


def test_index_out_of_bounds(tmp_path: Path) -> None:
    from format_files import write_mtz

    path = write_mtz(tmp_path / "a.mtz", [("F", "F")], hkl=np.array([[1, 2, 3], [9999, 0, 0], [1, 1, 1]]))
    with pytest.raises(FileError, match="reflection 2 has the indices 9999 0 0: the file is damaged"):
        reflections.read_mtz(path)


def test_wrong_reader(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is not an MTZ file"):
        reflections.read_mtz(DATA / "5e5z.pdb")
    with pytest.raises(FileError, match="is not a CIF file"):
        reflections.read_sf_cif(DATA / "5e5z.mtz")
    with pytest.raises(FileError, match="is not an image that can be read"):
        read_image(DATA / "5e5z.pdb")
    save_image(tmp_path / "a.tif", IMAGE)
    with pytest.raises(FileError, match="holds no structure factors"):
        read_structure_factors(tmp_path / "a.tif")


def test_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _copy("5e5z.mtz", tmp_path / "a.mtz")
    monkeypatch.setattr(os, "access", lambda *a: False)
    with pytest.raises(FileError, match="permission denied"):
        _read_factors(tmp_path / "a.mtz")


def test_missing_packages_name_the_pip_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str, *rest: Any) -> Any:
        if name.split(".")[0] in ("h5py", "fabio", "tifffile", "yaml"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name.split(".")[0])
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    for suffix, command in (
        (".nxs", r"'nanobragg\[io\]'"),
        (".cbf", r"'nanobragg\[io\]'"),
        (".tif", "tifffile"),
    ):
        with pytest.raises(MissingPackageError, match=f"is not installed: pip install {command}"):
            save_image(tmp_path / f"a{suffix}", IMAGE, scene=scene())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MissingPackageError, match="pyyaml"):
        nbragg.base.optional.require("yaml")
    with pytest.raises(MissingPackageError, match="for cake"):
        nbragg.base.optional.require("h5py", purpose="cake")


def test_a_fault_inside_a_package_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "faulty_module.py").write_text("import module_that_is_not_there\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="module_that_is_not_there") as error:
        nbragg.base.optional.require("faulty_module")
    assert not isinstance(error.value, MissingPackageError)


def test_importing_the_readers_imports_no_heavy_package() -> None:
    code = (
        "import sys, nbragg, nbragg.io.images, nbragg.io.crystal_files, nbragg.io.recipe;"
        "import nbragg.io.reflections.models;"
        "heavy = {'gemmi', 'h5py', 'hdf5plugin', 'fabio', 'tifffile', 'pandas', 'yaml', 'scipy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
