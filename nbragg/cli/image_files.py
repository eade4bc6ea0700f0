"""Writing the files of one image, and the cache of structure factors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ..warn import warn

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
    """Write the images; returns the lines that tell what was written.

    All of the canonical ones appear or none; those of ``-save`` follow, each complete or not at all.
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
    saved = [_save(command, result, path) for path in out.save_files]
    return [*report.output_lines(command, int_scale, pgm_scale, noise), *saved]


def _save(command: CommandLine, result: Result, path: str) -> str:
    """Write a file of -save; returns its line of the report."""
    from ..io.images import format_of
    from . import report

    name, out = format_of(path), command.outputs
    options: dict[str, Any] = {"recipe": _recipe(command, result)}
    text = "float32, photons"
    if name == "smv":
        options |= {"scale": out.int_scale if out.int_scale > 0.0 else None, "offset": out.adc, "clip": True}
        text = f"SMV, offset {out.adc:g}"
    elif name == "cbf":
        scale = out.int_scale if out.int_scale > 0.0 else _whole_number_scale(path, float(result.image.max()))
        options |= {"scale": scale, "clip": True}
        text = f"CBF, whole numbers, scale {scale:g}"
    elif name == "pgm":
        options["scale"] = out.pgm_scale if out.pgm_scale > 0.0 else None
        text = "8-bit preview"
    elif name == "png":
        text = "picture"
    result.save(path, **options)
    return report.file_line(path, text)


def _recipe(command: CommandLine, result: Result) -> dict[str, Any]:
    from ..recipe import to_dict
    from ..setup import Setup

    setup = result.setup or Setup(
        command.crystal, command.beam, command.detector, command.sampling, command.physics
    )
    return to_dict(setup)


def _whole_number_scale(path: str, peak: float) -> float:
    """1, so that pixels are photons; a power of ten where they would all round to 0, or not fit 31 bits."""
    if peak == 0.0 or 0.5 <= peak < 2.0**31:
        return 1.0
    scale = 10.0 ** ((4 if peak < 0.5 else 9) - math.ceil(math.log10(peak)))
    warn(
        f"{path} holds whole numbers: photons are multiplied by {scale:g}, for the brightest pixel has "
        f"{peak:.3g}; give -scale for another factor, or -flux and -exposure for true counts"
    )
    return scale
