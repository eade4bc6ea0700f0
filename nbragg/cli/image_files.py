"""Writing the files of one image, and the cache of structure factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..simulation import Result
    from .parser import CommandLine

__all__ = ["write_dump", "write_images"]


def write_dump(command: CommandLine) -> None:
    """The cache of structure factors, written before rendering so that even an interrupted run leaves it."""
    from ..io import fdump

    factors = command.crystal.structure_factors
    if command.outputs.dump_file is not None and factors.values is not None:
        fdump.write(command.outputs.dump_file, factors.values, factors.origin)


def write_images(command: CommandLine, result: Result, *, with_misset: bool = False) -> list[str]:
    """Write all images or none; returns the lines that tell what was written.

    ``with_misset`` puts the missetting angles into the SMV headers, which have no place for them otherwise.
    """
    from ..io import atomic, pgm, raw, smv
    from . import report

    image, scene, out = result.image, result.scene, command.outputs
    misset = zip(("MISSET_X", "MISSET_Y", "MISSET_Z"), scene.misset_deg, strict=True)
    header = smv.header_bytes(scene, tuple(misset) if with_misset else ())
    integers, int_scale = smv.integer_image(image, scene.roi, out.int_scale, out.adc)
    files = [(out.float_file, raw.chunks(image)), (out.int_file, smv.chunks(integers, header))]
    pgm_scale = out.pgm_scale
    if out.pgm_file is not None:
        if pgm_scale <= 0.0:
            pgm_scale = pgm.auto_scale(result.statistics.rmsd, int_scale)
        files.append((out.pgm_file, pgm.chunks(image, scene.roi, pgm_scale)))
    noise = None
    if out.noise_file is not None:
        from ..noise import noise_image

        noise = noise_image(image, scene.roi, command.seed, out.adc)
        files.append((out.noise_file, smv.chunks(noise.pixels, header)))
    atomic.write_files(files)
    return report.output_lines(command, int_scale, pgm_scale, noise)
