"""Writing the files of one image, and the cache of structure factors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..simulation.result import Result
    from .parser import CommandLine

__all__ = ["write_dump", "write_images"]


def write_dump(command: CommandLine) -> None:
    """The cache of structure factors, written before rendering so that even an interrupted run leaves it."""
    from ..io.reflections import dump as fdump

    factors = command.setup.crystal.structure_factors
    if command.outputs.dump_file is not None and factors.values is not None:
        fdump.write(command.outputs.dump_file, factors.values, factors.origin)


def write_images(command: CommandLine, result: Result, *, with_misset: bool = False) -> list[str]:
    """Write the images; returns the lines that tell what was written.

    All of the canonical ones appear or none; those of ``-save`` follow, each complete or not at all.
    ``with_misset`` puts the missetting angles into the SMV headers, which have no place for them otherwise.
    """
    from ..io.files import atomic
    from ..io.images import pgm, raw, smv
    from . import report

    image, scene, out = result.image, result.scene, command.outputs
    roi = scene.panel.roi
    misset = zip(("MISSET_X", "MISSET_Y", "MISSET_Z"), scene.placement.crystal.misset_deg, strict=True)
    header = smv.header_bytes(scene, tuple(misset) if with_misset else ())
    integers, int_scale = smv.integer_image(image, roi, out.int_scale, out.adc)
    files = [(out.float_file, raw.chunks(image)), (out.int_file, smv.chunks(integers, header))]
    pgm_scale = out.pgm_scale
    if out.pgm_file is not None:
        if pgm_scale <= 0.0:
            pgm_scale = pgm.auto_scale(result.statistics.rmsd, int_scale)
        files.append((out.pgm_file, pgm.chunks(image, roi, pgm_scale)))
    noise = None
    if out.noise_file is not None:
        from ..response.reference_noise import noise_image

        noise = noise_image(image, roi, command.seed, out.adc)
        files.append((out.noise_file, smv.chunks(noise.pixels, header)))
    atomic.write_files(files)
    saved = [_save(command, result, path) for path in out.save_files]
    return [*report.output_lines(command, int_scale, pgm_scale, noise), *saved]


def _save(command: CommandLine, result: Result, path: str) -> str:
    """Write a file of -save; returns its line of the report."""
    from ..io.images import format_of, whole_number_scale
    from ..io.images.formats import FORMATS
    from . import report

    name, out = format_of(path), command.outputs
    dtype = FORMATS[name].dtypes[0]
    options: dict[str, Any] = {}
    text = f"{dtype}, photons"
    if name == "smv":
        options = {"scale": out.int_scale if out.int_scale > 0.0 else None, "offset": out.adc, "clip": True}
        text = f"SMV, offset {out.adc:g}"
    elif name == "pgm":
        options = {"scale": out.pgm_scale if out.pgm_scale > 0.0 else None}
        text = "8-bit preview"
    elif name == "png":
        text = "picture"
    elif not dtype.startswith("float"):
        scale = out.int_scale
        if scale <= 0.0:
            advice = "give -scale for another factor, or -flux and -exposure for true counts"
            scale = whole_number_scale(result.image, dtype, what=path, advice=advice)
        options = {"scale": scale, "clip": True}
        text = f"whole numbers, scale {scale:g}"
    result.save(path, **options)
    return report.file_line(path, text)
