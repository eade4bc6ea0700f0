"""What a file of structure factors is, is decided once: every reader says the same of every name."""

from __future__ import annotations

import gzip
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import gemmi
import numpy as np
import pytest
from format_files import CELL, DATA
from numpy.typing import NDArray

import nbragg.io
from nbragg import StructureFactors
from nbragg.base.errors import FileError, InputError, NbraggError
from nbragg.io import file_kind, read_structure_factors
from nbragg.io.crystal_files import read_crystal
from nbragg.io.files.kinds import KINDS, FileKind, kind_named, register_kind, resolve
from nbragg.io.images import formats as image_formats
from nbragg.io.recipe import from_dict
from nbragg.io.reflections import dump
from nbragg.io.reflections import formats as reflection_formats
from nbragg.io.reflections.formats import ReflectionFormat, read_amplitudes
from nbragg.io.reflections.reflection_list import ReflectionList

VALUES = np.arange(1.0, 1.0 + 3 * 4 * 5).reshape(3, 4, 5)
LIST = b"1 2 3 4.5\n-1 -2 -3 4.5\n"


def _sf_cif() -> bytes:
    mtz = gemmi.read_mtz_file(str(DATA / "5e5z.mtz"))
    return bytes(gemmi.MtzToCif().write_cif_to_string(mtz).encode())


def _dump(folder: Path) -> bytes:
    dump.write(folder / "dump", VALUES, (-1, 0, 2))
    return (folder / "dump").read_bytes()


#: what it is -> its bytes, made in a folder
CONTENTS: dict[str, Callable[[Path], bytes]] = {
    "text": lambda folder: LIST,
    "dump": _dump,
    "mtz": lambda folder: (DATA / "5e5z.mtz").read_bytes(),
    "sf-cif": lambda folder: _sf_cif(),
    "model": lambda folder: (DATA / "5e5z.pdb").read_bytes(),
    "small": lambda folder: (DATA / "1011031.cif").read_bytes(),
    "image": lambda folder: b"\x93NUMPY\x01\x00",
}
#: suffix -> contents that may lie behind it
ALLOWED = {
    ".hkl": {"text", "dump"},
    ".mtz": {"mtz"},
    ".pdb": {"model"},
    ".ent": {"model"},
    ".cif": {"sf-cif", "small"},
    ".mmcif": {"sf-cif", "small"},
    ".tif": set(),
    **dict.fromkeys((".txt", ".dat", "", ".bin"), set(CONTENTS) - {"image"}),
}


def _listed(path: Path, **options: Any) -> dict[tuple[int, int, int], float]:
    found = read_structure_factors(path, **options)
    indices = zip(found.h.tolist(), found.k.tolist(), found.l.tolist(), strict=True)
    return dict(zip(indices, found.F.tolist(), strict=True))


def _boxed(factors: StructureFactors) -> dict[tuple[int, int, int], float]:
    assert factors.values is not None
    places = np.argwhere(factors.values != factors.default_F)
    return {
        (int(p[0]), int(p[1]), int(p[2])): float(factors.values[tuple(i)])
        for i, p in zip(places, places + factors.origin, strict=True)
    }


def _recipe(path: Path, **options: Any) -> StructureFactors:
    values = {"file": str(path), "default_F": -1.0, "options": options}
    crystal = {"nanobragg_recipe": 1, "kind": "crystal", "cell": list(CELL), "structure_factors": values}
    factors: StructureFactors = from_dict(crystal).structure_factors
    return factors


READERS: dict[str, Callable[..., dict[tuple[int, int, int], float]]] = {
    "read_structure_factors": _listed,
    "from_file": lambda path, **o: _boxed(StructureFactors.from_file(path, default_F=-1.0, **o)),
    "read_crystal": lambda path, **o: _boxed(
        read_crystal(path, cell=CELL, default_F=-1.0, **o).structure_factors
    ),
    "recipe": lambda path, **o: _boxed(_recipe(path, **o)),
}


@pytest.mark.parametrize("suffix", list(ALLOWED))
@pytest.mark.parametrize("content", list(CONTENTS))
def test_every_reader_of_every_name(tmp_path: Path, content: str, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(CONTENTS[content](tmp_path))
    kind = {"small": "model"}.get(content, content)
    if content not in ALLOWED[suffix]:
        for read in (*READERS.values(), file_kind):
            with pytest.raises(FileError, match=r"named as .* but holds|holds no structure factors"):
                read(path)
        return
    assert file_kind(path) == kind
    options = {"d_min_A": 2.0} if kind == "model" else {}
    found = [read(path, **options) for read in READERS.values()]
    assert found[0] and all(other == found[0] for other in found[1:])
    if content == "text":
        assert found[0] == {(1, 2, 3): 4.5, (-1, -2, -3): 4.5}
    if content == "dump":
        assert len(found[0]) == VALUES.size and found[0][-1, 0, 2] == 1.0


@pytest.mark.parametrize("reader", list(READERS))
def test_every_reader_refuses_alike(tmp_path: Path, reader: str) -> None:
    """Text of no known kind goes to the reader of lists, which names the line; options that no format has."""
    read = READERS[reader]
    (tmp_path / "a.txt").write_text("what is this\n")
    with pytest.raises(FileError, match=r"line 1: .what is this."):
        read(tmp_path / "a.txt")
    (tmp_path / "b.hkl").write_bytes(LIST)
    with pytest.raises(InputError, match=r"\(text list\) takes no column; it takes no option"):
        READERS[reader if reader != "read_crystal" else "from_file"](tmp_path / "b.hkl", column="F")
    assert len(READERS["from_file"](tmp_path / "b.hkl", column=None)) == 2
    (tmp_path / "c.hkl.gz").write_bytes(gzip.compress(LIST))
    with pytest.raises(FileError, match="compressed text list, which is not read: unpack it"):
        read(tmp_path / "c.hkl.gz")
    (tmp_path / "d.cif").write_text("data_x\n_cell.length_a 3\n")
    with pytest.raises(FileError, match=r"neither _refln \(.*\) nor _atom_site \(model\)"):
        read(tmp_path / "d.cif")
    with pytest.raises(FileError, match="does not exist"):
        read(tmp_path / "none.hkl")


def _one_reflection(F: NDArray[np.float64]) -> ReflectionList:
    h, k, l = np.array([[1], [2], [3]], dtype=np.int32)  # noqa: E741
    return ReflectionList(h, k, l, F)


def test_lists_and_dumps_come_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.hkl").write_text("2 0 0 1\n1 0 0 2\n2 0 0 3\n")
    rows = read_amplitudes(tmp_path / "a.hkl")
    assert not isinstance(rows, ReflectionList) and rows[0].tolist() == [2, 1, 2]
    assert StructureFactors.from_file(tmp_path / "a.hkl").n_listed == 3
    assert read_structure_factors(tmp_path / "a.hkl").F.tolist() == [2.0, 3.0]
    (tmp_path / "b").write_bytes(_dump(tmp_path))
    factors = StructureFactors.from_file(tmp_path / "b")
    assert factors.values is not None and np.array_equal(factors.values, VALUES)
    assert factors.origin == (-1, 0, 2)


def test_comments_longer_than_what_is_looked_at(tmp_path: Path) -> None:
    comments = b"# a comment\n" * 1000
    (tmp_path / "a.hkl").write_bytes(comments + LIST)
    assert file_kind(tmp_path / "a.hkl") == "text"
    (tmp_path / "a.cif").write_bytes(comments + _sf_cif())
    assert file_kind(tmp_path / "a.cif") == "sf-cif"


def test_a_format_can_be_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, twice: bool = False) -> ReflectionList:
        return _one_reflection(np.array([2.0 if twice else 1.0]))

    module = ModuleType("module_of_a_format")
    vars(module)["read"] = read
    monkeypatch.setitem(sys.modules, "module_of_a_format", module)
    try:
        register_kind(FileKind("mine", "a file of mine", (".mine",), magic=(b"MINE",)))
        reflection_formats.register(ReflectionFormat("mine", "mine", ("mine",), "module_of_a_format:read"))
        (tmp_path / "a.mine").write_bytes(b"MINE")
        assert file_kind(tmp_path / "a.mine") == "mine" and list(KINDS)[-1] == "text"
        assert READERS["from_file"](tmp_path / "a.mine", twice=True) == {(1, 2, 3): 2.0}
        (tmp_path / "b.mine").write_bytes(LIST)
        with pytest.raises(FileError, match="named as a file of mine but holds a text list"):
            file_kind(tmp_path / "b.mine")
    finally:
        KINDS.pop("mine", None)
        reflection_formats.FORMATS.pop("mine", None)


def test_every_function_of_the_registries_is_there() -> None:
    for image in image_formats.FORMATS.values():
        assert all(callable(resolve(f)) for f in (image.write, image.read, image.read_mask) if f)
        assert image.kind in KINDS and image.suffixes
    for entry in reflection_formats.FORMATS.values():
        assert all(callable(resolve(f)) for f in (entry.read, entry.read_as_is) if f)
        assert set(entry.kinds) <= set(KINDS)
    assert kind_named("unknown").title not in {kind.title for kind in KINDS.values()}


def test_signatures_and_suffixes_are_nobody_elses() -> None:
    """No two kinds promise the same suffix or begin alike."""
    suffixes = [suffix for kind in KINDS.values() for suffix in kind.suffixes]
    magics = [magic for kind in KINDS.values() for magic in kind.magic]
    assert len(set(suffixes)) == len(suffixes)
    assert not [(a, b) for a in magics for b in magics if a is not b and a.startswith(b)]


def test_reflection_lists_are_read_only() -> None:
    mine = np.array([1.0])
    found = _one_reflection(mine)
    mine[0] = 2.0  # whose it was may still write
    for one in (found, pickle.loads(pickle.dumps(found))):
        for name in "hklF":
            with pytest.raises(ValueError, match="read-only"):
                getattr(one, name)[0] = 5


def test_the_face_of_the_package() -> None:
    assert set(dir(nbragg.io)) == set(nbragg.io.__all__)
    for name in dir(nbragg.io):
        value = getattr(nbragg.io, name)
        assert callable(value) and value.__doc__
    assert {"read_image", "save_image", "read_mtz", "preview", "write_png"} <= set(dir(nbragg.io))
    with pytest.raises(AttributeError, match="no attribute 'read_imag'"):
        nbragg.io.read_imag  # noqa: B018


def test_importing_the_face_and_the_registries_imports_little() -> None:
    code = (
        "import sys, nbragg.io; few = set(sys.modules);"
        "import nbragg.io.images.formats, nbragg.io.reflections.formats;"
        "heavy = {'gemmi', 'h5py', 'fabio', 'tifffile', 'scipy'};"
        "print('numpy' in few, sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False []"


def test_nothing_known_is_one_of_our_errors(tmp_path: Path) -> None:
    for content in (b"\0\1\2" * 2000, b"\x1f\x8bbroken", b"P5 1 1"):
        (tmp_path / "a").write_bytes(content)
        for read in READERS.values():
            with pytest.raises(NbraggError):
                read(tmp_path / "a")
