"""Every container gives back what went in, the same images are the same bytes, other programs read it."""

from __future__ import annotations

import dataclasses
import errno
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_images import assert_same, made, metadata

import nbragg
from nbragg.base.errors import FileError, InputError
from nbragg.dataset.containers import zarr as zarr_container
from nbragg.dataset.containers.formats import FORMATS, compression_of, reader, writer
from nbragg.dataset.containers.made import Made
from nbragg.io.files.hdf5 import NewFile

ALL = [(name, packing) for name, entry in FORMATS.items() for packing in entry.compressions]


def write(
    name: str, path: Path, images: Sequence[Made], compression: str | None = None, count: int | None = None
) -> Path:
    with writer(name, str(path), len(images) if count is None else count, compression) as shard:
        for one in images:
            shard.add(one)
    return path


def shared_mask(images: Sequence[Made], name: str) -> list[Made]:
    """For NXmx, which has one mask."""
    return [one._replace(mask=images[0].mask) for one in images] if name == "nxmx" else list(images)


@pytest.mark.parametrize(("name", "compression"), ALL)
def test_what_goes_in_comes_out(tmp_path: Path, name: str, compression: str) -> None:
    images = shared_mask([made(i) for i in (3, 4, 6, 7)], name)
    path = write(name, tmp_path / "a", images, compression, count=6)  # two images failed
    with reader(name, str(path)) as shard:
        assert len(shard) == 4
        for i in (2, 0, 3, 1):
            found = shard.read(i)
            assert found.image.dtype == np.int32
            np.testing.assert_array_equal(found.image, images[i].image)
            assert_same(found.labels, images[i].labels)
            np.testing.assert_array_equal(shard.mask(i), images[i].mask)
        assert list(shard.read(0, ["spots"]).labels["images"]) == ["spots"]
        assert shard.read(-1, ()).labels["image"] == 7
        with pytest.raises(InputError, match=r"no label image 'spot'; did you mean 'spots'"):
            shard.read(0, ["spot"])
        with pytest.raises(IndexError):
            shard.read(4)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_types_without_mask_or_label_images(tmp_path: Path, name: str, dtype: Any) -> None:
    images = [made(i, dtype=dtype, label_images=False, mask=False) for i in range(2)]
    with reader(name, str(write(name, tmp_path / "a", images))) as shard:
        found = shard.read(1)
        assert found.image.dtype == dtype and shard.mask(1) is None
        np.testing.assert_array_equal(found.image, images[1].image)
        assert_same(found.labels, images[1].labels)


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_at_all(tmp_path: Path, name: str) -> None:
    """Every image of the shard failed."""
    with reader(name, str(write(name, tmp_path / "a", [], count=3))) as shard:
        assert len(shard) == 0


@pytest.mark.parametrize("name", FORMATS)
def test_panels(tmp_path: Path, name: str) -> None:
    def panel(fpixels: int, up: float) -> nbragg.Panel:
        axes: dict[str, Any] = {"fast": (0, 0, 1), "slow": (0, -1, 0), "origin_mm": (100, up, 0)}
        return nbragg.Panel(fpixels=fpixels, spixels=5, pixel_mm=0.1, **axes)

    cases = (([panel(7, 0), panel(4, 9)], (55,)), ([panel(7, 0), panel(7, 9)], (2, 5, 7)))
    for panels, shape in cases:
        known = metadata(nbragg.Detector(panels=panels))
        images = [made(i, known=known) for i in (1, 3)]
        with reader(name, str(write(name, tmp_path / str(len(shape)), images))) as shard:
            found = shard.read(1)
            assert found.image.shape == shape
            np.testing.assert_array_equal(found.image, images[1].image)
            assert_same(found.labels, images[1].labels)
            np.testing.assert_array_equal(shard.mask(1), images[1].mask)


def test_same_bytes(tmp_path: Path) -> None:
    """Whenever, and whatever was written before."""
    images = [made(i) for i in (1, 3, 5)]
    first = {name: write(name, tmp_path / f"a.{name}", images).read_bytes() for name in FORMATS}
    time.sleep(2.1)  # a zip file counts time in steps of 2 s
    for name, data in first.items():
        write(name, tmp_path / "other", [made(i) for i in (2, 4)][:1])
        assert write(name, tmp_path / f"b.{name}", images).read_bytes() == data, name


@pytest.mark.parametrize("name", FORMATS)
def test_images_not_alike(tmp_path: Path, name: str) -> None:
    for other in (made(1, dtype=np.uint16), made(1, label_images=False)):
        with pytest.raises(InputError, match=r"image 1 .*(the first|dtype)"):
            write(name, tmp_path / "a", [made(3, mask=False), other._replace(mask=None)])


@pytest.mark.parametrize("name", FORMATS)
def test_geometry_that_varies(tmp_path: Path, name: str) -> None:
    """Programs that read NXmx take one detector for all frames; the wavelength may differ."""
    images = [made(i, mask=False) for i in range(2)]
    known = images[1].metadata
    light = images[1]._replace(metadata=dataclasses.replace(known, wavelength_A=1.1, fluence=7.0))
    write(name, tmp_path / "a", [images[0], light])
    x, y, z = known.pix0_mm
    moved = images[1]._replace(metadata=dataclasses.replace(known, pix0_mm=(x, y, z + 1)))
    if name != "nxmx":
        write(name, tmp_path / "b", [images[0], moved])
        return
    with pytest.raises(InputError, match=r"another pix0_mm than the first.*h5, zarr.*images_per_shard = 1"):
        write(name, tmp_path / "b", [images[0], moved])
    with pytest.raises(InputError, match="another mask"):
        write(name, tmp_path / "b", [images[0], images[1]._replace(mask=made(1).mask)])
    write(name, tmp_path / "c", [moved])


@pytest.mark.parametrize("name", FORMATS)
def test_missing_and_damaged(tmp_path: Path, name: str) -> None:
    path = write(name, tmp_path / "a", shared_mask([made(i) for i in range(4)], name))
    with pytest.raises(FileError, match="missing"):
        reader(name, str(tmp_path / "missing"))
    data = path.read_bytes()
    for size in (0, 100, len(data) // 2, len(data) - 600):
        path.write_bytes(data[:size])
        with pytest.raises(FileError, match="cannot be read as a shard"), reader(name, str(path)) as shard:
            for i in range(len(shard)):
                shard.read(i)
    path.write_bytes(np.random.default_rng(1).bytes(len(data)))
    with pytest.raises(FileError, match="cannot be read as a shard"):
        reader(name, str(path))


@pytest.mark.parametrize("name", FORMATS)
def test_full_disk(tmp_path: Path, name: str) -> None:
    """Said with the system's number, in the writing process, which goes on."""
    code = f"""
import resource, signal, sys
from made_images import made
from nbragg.dataset.containers.formats import writer
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    with writer({name!r}, {str(tmp_path / "a")!r}, 40) as shard:
        for i in range(40):
            shard.add(made(i, mask=False))
except OSError as error:
    print(type(error).__name__, error.errno, error)
"""
    places = [str(Path(__file__).parents[1] / "support"), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"FileError {errno.EFBIG} cannot write {tmp_path / 'a'}: File too large")
    assert not done.stderr


def test_hdf5_goes_on_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the disk is full the library sees what it wrote, and closes the file."""
    real, room = os.pwrite, [3000]

    def pwrite(descriptor: int, data: Any, at: int) -> int:
        if room[0] <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        room[0] -= len(data)
        return real(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    numbers = np.arange(10_000).reshape(10, 1000)
    with pytest.raises(FileError, match="No space left") as told, NewFile(tmp_path / "a.h5") as new:
        dataset = new.file.create_dataset("a", shape=numbers.shape, chunks=(1, 1000), dtype="i8")
        for i, row in enumerate(numbers):
            dataset[i] = row
            new.file.flush()
        np.testing.assert_array_equal(dataset[()], numbers)
        with pytest.raises(FileError):
            new.check()
    assert told.value.errno == errno.ENOSPC


def test_compressions() -> None:
    assert compression_of("h5", None) == "gzip" and compression_of("nxmx", "lz4") == "lz4"
    with pytest.raises(InputError, match="webdataset must be one of 'none', 'gzip', not 'lz4'"):
        compression_of("webdataset", "lz4")
    with pytest.raises(InputError, match="format must be one of 'nxmx'"):
        compression_of("png", None)


# ---- other programs ----


def test_plain_h5py(tmp_path: Path) -> None:
    """What h5py alone reads, without a plugin."""
    images = [made(i) for i in (1, 2, 4)]
    code = f"""
import h5py, sys
with h5py.File({str(write("h5", tmp_path / "a.h5", images))!r}) as file:
    first, last = file["labels/reflections/offsets"][1:3]
    print(file["images"].chunks, file["images"][1].sum(), file["labels/image"][1], last - first,
          file["labels/reflections/values"]["photons"][first:last].sum(), file["labels/images/spots"].shape,
          file["labels/parameters/count"][1], file["labels/crystals/U"].shape, "hdf5plugin" in sys.modules)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    wanted = images[1].labels
    sums = wanted.reflections["photons"].sum()
    shape = (16, 24)
    assert (
        told.split()
        == (
            f"{(1, *shape)} {images[1].image.sum()} 2 {len(wanted.reflections)} {sums} {(3, *shape)} "
            f"{wanted['parameters']['count']} {(1 + 2 + 1, 3, 3)} False"
        ).split()
    )


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_fabio(tmp_path: Path) -> None:
    fabio = pytest.importorskip("fabio")
    for name, suffix, packing in (("nxmx", ".nxs", None), ("nxmx", ".nxs", "gzip"), ("h5", ".h5", "gzip")):
        images = [made(i, mask=False) for i in (1, 2, 4)]
        path = write(name, tmp_path / f"{name}{suffix}", images, packing)
        where = "/entry/data/data" if name == "nxmx" else "/images"
        with fabio.open(f"{path}::{where}") as file:
            assert file.nframes == 3
            np.testing.assert_array_equal(file.get_frame(2).data, images[2].image)


def test_zarr_package(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    images = [made(i) for i in range(5)]
    for packing in zarr_container._COMPRESSORS:
        path = write("zarr", tmp_path / f"{packing}.zarr.zip", images, packing)
        storage = zarr.storage.ZipStore if hasattr(zarr.storage, "ZipStore") else zarr.ZipStore
        store = storage(str(path), mode="r")
        root = zarr.open_group(store, mode="r")
        np.testing.assert_array_equal(root["images"][3], images[3].image)
        np.testing.assert_array_equal(root["labels/images/spots"][3], images[3].labels["images"]["spots"])
        first, last = root["labels/reflections/offsets"][3:5]
        spots = root["labels/reflections/values"][int(first) : int(last)]
        assert spots.tobytes() == images[3].labels.reflections.tobytes()
        assert root["labels/space_group"][1] == b"P 43 21 2"
        store.close()


@pytest.mark.parametrize("packing", ["none", "gzip"])
def test_tar(tmp_path: Path, packing: str) -> None:
    """Members of an image follow one another and share their stem, as WebDataset groups them."""
    images = [made(i) for i in (4, 5)]
    path = write("webdataset", tmp_path / "a.tar", images, packing)
    end = ".npy.gz" if packing == "gzip" else ".npy"
    arrays = [end, *(f".{name}{end}" for name in ("reflections", "bragg", "reflection", "spots"))]
    with tarfile.open(path) as file:
        names = file.getnames()
        for one in images:
            key = f"{one.labels['image']:09d}"
            wanted = [key + arrays[0], f"{key}.json", *(key + a for a in arrays[1:]), f"{key}.mask.npy.gz"]
            assert names[: len(wanted)] == wanted
            names = names[len(wanted) :]
            data = file.extractfile(key + end)
            assert data is not None
            packed = data.read()
            plain = np.load(io.BytesIO(gzip.decompress(packed) if packing == "gzip" else packed))
            np.testing.assert_array_equal(plain, one.image)
            told = file.extractfile(f"{key}.json")
            assert told is not None
            assert json.load(told)["cell"] == one.labels["cell"].tolist()
        assert not names and {member.mtime for member in file} == {0}


def test_a_recipe_that_moves_the_detector(tmp_path: Path) -> None:
    """Said before anything is written."""
    from nbragg.dataset.make import make_dataset

    setup = {
        "crystal": {"cell": [70, 80, 90, 90, 90, 90], "structure_factors": {"default_F": 100}},
        "detector": {"fpixels": 8, "spixels": 8, "distance_mm": 100},
    }
    vary = {"detector.distance_mm": {"norm": {"loc": 100, "scale": 1}}}
    data = nbragg.Dataset({"nanobragg_dataset": 1, "images": 4, "setup": setup, "vary": vary})
    with pytest.raises(InputError, match=r"varies the detector.*nxmx has one.*h5, zarr or webdataset"):
        make_dataset(data, None, tmp_path / "set", workers=1)
    assert not (tmp_path / "set").exists()
