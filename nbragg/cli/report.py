"""The console report: what was understood from the command line, and what came out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..noise import NoiseImage
    from ..scene import Scene
    from ..statistics import Statistics
    from .parser import CommandLine

__all__ = ["file_line", "output_lines", "scene_lines", "statistics_lines"]

_INTERPOLATION = (
    "nearest index",
    "tricubic interpolation",
    "tricubic interpolation, default_F at the edge",
)
_SHAPE = ("square", "round", "gauss", "tophat")


def _numbers(values: Iterable[Any], form: str = "%g") -> str:
    # adding 0.0 turns -0 into 0
    return " ".join(form % (float(value) + 0.0) for value in values)


def _line(label: str, text: str) -> str:
    return f"  {label:<19} {text}".rstrip()


def file_line(path: str, text: str) -> str:
    """What was written to a file."""
    return _line(path, text)


def _crystal(scene: Scene) -> list[str]:
    cell = scene.unit_cell
    degrees = 180.0 / math.pi
    lines = [
        "crystal",
        _line("unit cell", f"{_numbers(cell.direct)}  (A, deg)"),
        _line("reciprocal cell", f"{_numbers(cell.reciprocal)}  (1/A, deg)"),
        _line("cell volume", f"{cell.volume:g} A^3"),
        _line("", f"{'x':>12}{'y':>13}{'z':>13}"),
    ]
    lines += [
        _line(f"{name} (A)", _numbers(row, "%12.7f")) for name, row in zip("abc", cell.vectors, strict=True)
    ]
    lines += [
        _line(f"{name}* (1/A)", _numbers(row, "%12.9f"))
        for name, row in zip("abc", cell.reciprocal_vectors, strict=True)
    ]
    micrometres = _numbers((1e6 * size for size in scene.crystal_size_m), "%.4g").replace(" ", " x ")
    lines += [
        _line("misset", f"{_numbers(scene.misset_deg)} deg"),
        _line("unit cells", _numbers(scene.N, "%.0f").replace(" ", " x ") + f"  ({micrometres} um)"),
        _line("shape", _SHAPE[scene.shape] + (f", fudge {scene.fudge:g}" if scene.fudge != 1.0 else "")),
        _line("mosaic domains", f"{scene.mosaic_domains} over {scene.mosaic_spread * degrees:g} deg"),
        _line(
            "rotation",
            f"{scene.phisteps} step(s) of {scene.phistep * degrees:g} deg, from "
            f"{scene.phi0 * degrees:g} to {(scene.phi0 + scene.osc) * degrees:g} deg",
        ),
    ]
    return lines


def _structure_factors(command: CommandLine, scene: Scene) -> list[str]:
    factors = command.crystal.structure_factors
    lines = ["structure factors"]
    source = command.inputs.get("-hkl") or command.inputs.get("-dump")
    if factors.values is None:
        lines.append(_line("every reflection", f"F = {factors.default_F:g}"))
    else:
        first = factors.origin
        counts = factors.values.shape
        ranges = ", ".join(
            f"{name} {low} to {low + n - 1}" for name, low, n in zip("hkl", first, counts, strict=True)
        )
        lines.append(_line("read from", f"{source} ({factors.n_listed} values; {ranges})"))
        lines += ["  " + line for line in command.source]
        lines.append(_line("not listed", f"F = {factors.default_F:g}"))
        lines.append(_line("between indices", _INTERPOLATION[scene.interpolation]))
    return lines


def _beam(scene: Scene) -> list[str]:
    wavelength = scene.wavelength * 1e10
    lines = ["beam", _line("wavelength", f"{wavelength:g} A ({_energy(wavelength):g} eV)")]
    lines += [
        _line("direction", _numbers(scene.beam_vector)),
        _line("sources", f"{len(scene.source_wavelength)}"),
    ]
    parts = (
        ("dispersion", scene.dispersion, 100.0, "%"),
        ("horizontal", scene.hdiv, 1e3, "mrad"),
        ("vertical", scene.vdiv, 1e3, "mrad"),
    )
    for name, steps, factor, unit in parts:
        if steps.count > 1:
            text = f"{factor * steps.range:g} {unit} in {steps.count} steps of {factor * steps.step:g}"
            lines.append(_line(f"  {name}", text))
    if scene.nopolar:
        lines.append(_line("polarization", "off"))
    else:
        vector = _numbers(scene.polar_vector)
        lines.append(_line("polarization", f"Kahn factor {scene.polarization:g}, E vector {vector}"))
    lines.append(_line("fluence", f"{scene.fluence:g} photons/m^2"))
    return lines


def _energy(wavelength_A: float) -> float:
    from ..beam import Beam

    return Beam(wavelength_A=wavelength_A).energy_eV


def _detector(scene: Scene) -> list[str]:
    g = scene.geometry
    mm = 1e3
    lines = [
        "detector",
        _line(
            "pixels",
            f"{scene.fpixels} x {scene.spixels} (fast x slow) of {scene.pixel_size * mm:g} mm, "
            f"{g.detsize_f * mm:g} x {g.detsize_s * mm:g} mm",
        ),
        _line("convention", f"{g.convention}, pivot {g.pivot}"),
        _line("distance", f"{scene.distance * mm:g} mm along the beam"),
        _line("close distance", f"{scene.close_distance * mm:g} mm along the normal"),
        _line("fast axis", _numbers(scene.fdet)),
        _line("slow axis", _numbers(scene.sdet)),
        _line("normal", _numbers(scene.odet)),
        _line("spindle", _numbers(g.spindle)),
        _line("first pixel corner", f"{_numbers(mm * x for x in scene.pix0)} mm"),
        _line("Xbeam Ybeam", f"{_numbers((mm * g.Xbeam, mm * g.Ybeam))} mm"),
        _line("Fbeam Sbeam", f"{_numbers((mm * g.Fbeam, mm * g.Sbeam))} mm"),
        _line("Xclose Yclose", f"{_numbers((mm * g.Xclose, mm * g.Yclose))} mm"),
        _line("Fclose Sclose", f"{_numbers((mm * g.Fclose, mm * g.Sclose))} mm"),
        _line("ORGX ORGY", f"{_numbers((g.ORGX, g.ORGY))} pixels"),
        _line("DIALS origin", f"{_numbers(g.dials_origin_mm)} mm"),
    ]
    if g.twotheta:
        axis = _numbers(g.twotheta_axis)
        lines.append(_line("two-theta", f"{math.degrees(g.twotheta):g} deg about {axis}"))
    if scene.thickness > 0.0:
        depth = f"{1e6 / scene.mu:g} um" if scene.mu > 0.0 else "infinite"
        text = f"{scene.thickness * 1e6:g} um in {scene.layers} layer(s), attenuation depth {depth}"
        lines.append(_line("sensor", text))
    if scene.curved:
        lines.append(_line("curved", "every pixel at the distance along the beam"))
    if scene.point_pixel:
        lines.append(_line("point pixels", "solid angle 1/R^2"))
    return lines


def _sampling(command: CommandLine, scene: Scene) -> list[str]:
    flags = [name for name in ("thick", "polar", "omega") if getattr(scene, f"oversample_{name}")]
    text = f"{scene.oversample} x {scene.oversample} sub-pixels"
    if scene.oversample < scene.recommended_oversample:
        text += f" (recommended: {scene.recommended_oversample})"
    if flags:
        text += f", each with its own {', '.join(flags)}"
    fmin, fmax, smin, smax = scene.roi
    samples = scene.oversample**2 * scene.layers * len(scene.source_wavelength) * len(scene.orientations)
    lines = [
        "sampling",
        _line("pixel", text),
        _line("region", f"fast {fmin} to {fmax}, slow {smin} to {smax}"),
        _line("samples", f"{samples} a pixel"),
    ]
    if scene.mask is not None:
        skipped = int((scene.mask == 0).sum())
        lines.append(_line("mask", f"{skipped} pixels skipped after {command.inputs.get('-mask', '')}"))
    if scene.dmin > 0.0:
        lines.append(_line("dmin", f"{scene.dmin * 1e10:g} A"))
    if scene.water > 0.0:
        lines.append(_line("water", f"{scene.water * 1e6:g} um"))
    if command.outputs.noise_file is not None:
        lines.append(_line("noise seed", str(command.seed)))
    return lines


def scene_lines(command: CommandLine, scene: Scene) -> list[str]:
    """Everything that decides the image, in the units of the command line."""
    sections = (
        _crystal(scene),
        _structure_factors(command, scene),
        _beam(scene),
        _detector(scene),
        _sampling(command, scene),
    )
    lines: list[str] = []
    for section in sections:
        lines += [*section, ""]
    return lines


def statistics_lines(statistics: Statistics, elapsed: float) -> list[str]:
    """What came out: canonical 8."""
    s = statistics
    share = 100.0 * s.solid_angle_sr / (4.0 * math.pi)
    return [
        f"rendered {s.pixels} pixels in {elapsed:.3g} s",
        _line("max_I", f"{s.max:g} at fast {s.max_fast_m * 1e3:g} mm, slow {s.max_slow_m * 1e3:g} mm"),
        _line("mean", f"{s.mean:g}"),
        _line("rms", f"{s.rms:g}"),
        _line("rmsd", f"{s.rmsd:g}"),
        _line("solid angle", f"{s.solid_angle_sr:g} sr ({share:.4g} % of the sphere)"),
    ]


def output_lines(
    command: CommandLine, int_scale: float, pgm_scale: float, noise: NoiseImage | None
) -> list[str]:
    """The files written and the scales they were written with."""
    out = command.outputs
    lines = [
        "wrote",
        _line(out.float_file, "float32, photons"),
        _line(out.int_file, f"SMV, scale {int_scale:g}, offset {out.adc:g}"),
    ]
    if out.pgm_file is not None:
        lines.append(_line(out.pgm_file, f"8-bit preview, scale {pgm_scale:g}"))
    if out.noise_file is not None and noise is not None:
        text = f"SMV with photon noise, offset {out.adc:g}, {noise.overloads} overloads"
        lines.append(_line(out.noise_file, text))
    if out.dump_file is not None:
        lines.append(_line(out.dump_file, "structure factors for the next run"))
    return lines
