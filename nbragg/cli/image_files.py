"""Writing the files of one image, and the cache of structure factors."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..response.detect import DetectorImage
    from ..response.reference_noise import NoiseImage
    from ..simulation.result import Result
    from ..simulation.saving import ImageFiles
    from .parser import CommandLine

__all__ = ["names_of", "names_of_kinds", "open_saves", "write_dump", "write_images"]


def write_dump(command: CommandLine) -> None:
    """The cache of structure factors, written before rendering so that even an interrupted run leaves it."""
    from ..io.reflections import dump as fdump

    factors = command.setup.sample.crystals[0].structure_factors
    if command.outputs.dump_file is not None and factors.values is not None:
        fdump.write(command.outputs.dump_file, factors.values, factors.origin)


@contextlib.contextmanager
def open_saves(command: CommandLine, count: int | None) -> Iterator[tuple[ImageFiles, ...]]:
    """The files of ``-save``, for one image (``count`` None) or for a series."""
    from ..simulation.saving import ImageFiles, SaveOptions

    out = command.outputs
    options = SaveOptions(
        seed=command.seed,
        scale=out.int_scale if out.int_scale > 0.0 else None,
        pedestal=out.adc,
        first_frame=out.first_frame,
        overwrite=out.overwrite,
        compression=out.compression,
    )
    pictures = dataclasses.replace(options, scale=out.pgm_scale if out.pgm_scale > 0.0 else None)
    with contextlib.ExitStack() as stack:
        files = []
        for _, path, save_as in out.saves:
            chosen = pictures if path.lower().endswith(".pgm") else options
            one = ImageFiles(path, dataclasses.replace(chosen, save_as=save_as), count)
            files.append(stack.enter_context(one))
        yield tuple(files)


def names_of_kinds(command: CommandLine, count: int | None) -> Iterator[list[str]]:
    """Names of the files of a run, those of each option together; ``count`` None: one image."""
    from ..simulation.saving import file_names, numbered

    out = command.outputs
    first = out.first_frame
    for option, path in out.named():
        if option in ("-save", "-save_noise"):
            yield file_names(path, count, first)
        elif option == "-dump":
            if command.setup.sample.crystals[0].structure_factors.values is not None:
                yield [path]
        elif len(command.setup.detector.panels or ()) > 1 and option != "-floatfile":
            continue  # of several panels there is no such file
        elif count is None:
            yield [path]
        else:
            last = first + count - 1
            yield [numbered(path, first + i, last, template=False) for i in range(count)]


def names_of(command: CommandLine, count: int | None) -> list[str]:
    """Names of all files of a run."""
    return [name for names in names_of_kinds(command, count) for name in names]


def write_images(
    command: CommandLine, result: Result, saves: Sequence[ImageFiles], *, with_misset: bool = False
) -> list[str]:
    """Write the images; returns the lines that tell what was written.

    All of the canonical ones appear or none; those of ``-save`` follow, each complete or not at all.
    ``with_misset`` puts the missetting angles into the SMV headers, which have no place for them otherwise.
    """
    from . import report

    if command.outputs.float_file is None:
        lines = ["wrote"]
    elif len(result.scene.panels) > 1:
        lines = _write_panels(command, result)
    else:
        lines = _write_canonical(command, result, with_misset)
    for files in saves:
        saved = files.add(result)
        lines.append(report.file_line(saved.path, saved.text))
    return lines


def _write_panels(command: CommandLine, result: Result) -> list[str]:
    """Of several panels only the float image has a format that holds them."""
    from ..io.files import atomic
    from ..io.images import raw
    from . import report

    assert command.outputs.float_file is not None
    atomic.write_files([(command.outputs.float_file, raw.chunks(result.image))])
    sizes = " x ".join(map(str, result.image.shape))
    text = f"float32, photons, {sizes} ({'panel, slow, fast' if result.image.ndim == 3 else 'all panels'})"
    return ["wrote", report.file_line(command.outputs.float_file, text)]


def _write_canonical(command: CommandLine, result: Result, with_misset: bool) -> list[str]:
    """The reference program's files."""
    from ..io.files import atomic
    from ..io.images import pgm, raw, smv
    from . import report

    image, scene, out = result.image, result.scene, command.outputs
    assert out.float_file is not None and out.int_file is not None
    roi = scene.panel.roi
    more: list[tuple[str, float]] = []
    if with_misset:
        names = ("MISSET_X", "MISSET_Y", "MISSET_Z")
        more += zip(names, scene.placement.crystal.misset_deg, strict=True)
    response = command.setup.response
    offsets = [out.offset, out.offset if response is None else response.resolved_adc]
    header, noise_header = (
        smv.header_bytes(scene, [*more, ("ADC_OFFSET", offset)] if out.header_offset else more)
        for offset in offsets
    )
    integers, int_scale = smv.integer_image(image, roi, out.int_scale, out.offset)
    files = [(out.float_file, raw.chunks(image)), (out.int_file, smv.chunks(integers, header))]
    pgm_scale = out.pgm_scale
    if out.pgm_file is not None:
        if pgm_scale <= 0.0:
            pgm_scale = pgm.auto_scale(result.statistics.rmsd, int_scale)
        files.append((out.pgm_file, pgm.chunks(image, roi, pgm_scale)))
    noise: NoiseImage | DetectorImage | None = None
    if out.noise_file is not None:
        if response is not None:
            noise = result.detect(command.seed, image=command.image, response=response)
        else:
            from ..response.reference_noise import noise_image

            noise = noise_image(image, roi, command.seed, out.offset)
        files.append((out.noise_file, smv.chunks(noise.pixels.astype(np.uint16, copy=False), noise_header)))
    atomic.write_files(files)
    return report.output_lines(command, int_scale, pgm_scale, noise)
