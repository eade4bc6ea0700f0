"""The console report: what was understood from the command line, and what came out."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..analysis.statistics import Statistics
    from ..engine.backend import RenderOptions
    from ..model.response import GainStage
    from ..response.detect import DetectorImage
    from ..response.reference_noise import NoiseImage
    from ..scene.record import PlacedPanel, Scene
    from ..simulation.result import Result
    from .parser import CommandLine

__all__ = [
    "file_line",
    "output_lines",
    "pixels",
    "precision",
    "scene_lines",
    "samples_lines",
    "statistics_lines",
    "written_line",
]

_INTERPOLATION = {
    "nearest": "nearest index",
    "tricubic": "tricubic interpolation",
    "tricubic_exact": "tricubic interpolation, default_F at the edge",
}

_DEGREES = 180.0 / math.pi


def _numbers(values: Iterable[Any], form: str = "%g") -> str:
    # adding 0.0 turns -0 into 0
    return " ".join(form % (float(value) + 0.0) for value in values)


def _line(label: str, text: str) -> str:
    return f"  {label:<19} {text}".rstrip()


def file_line(path: str, text: str) -> str:
    """What was written to a file."""
    return _line(path, text)


def written_line(names: Iterable[str]) -> str:
    """How many files there are, and how large together; devices have no size."""
    from ..base.memory import readable
    from ..io.files.atomic import is_special

    files = [name for name in names if not is_special(name)]
    size = readable(sum(os.path.getsize(name) for name in files))
    return f"{len(files)} file{'' if len(files) == 1 else 's'}, {size}"


def precision(options: RenderOptions) -> str:
    """The arithmetic that will be used."""
    from ..engine.backend import default_precision

    return options.precision or default_precision(options.device, options.tolerance)


def pixels(scene: Scene) -> int:
    """Pixels in the regions to be rendered."""
    regions = (panel.roi for panel in scene.panels)
    return sum((fmax - fmin + 1) * (smax - smin + 1) for fmin, fmax, smin, smax in regions)


def _crystal(scene: Scene) -> list[str]:
    report, block, turn = scene.placement.crystal, scene.crystals[0], scene.placement
    cell = report.unit_cell
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
    own, *others = scene.placement.lattices
    domains = sum(scene.placement.crystals[i].mosaic_domains for i in own)
    sizes = f", the first of {len(own)} sizes" if len(own) > 1 else ""
    micrometres = _numbers((1e6 * size for size in report.size_m), "%.4g").replace(" ", " x ")
    lines += [
        _line("misset", f"{_numbers(report.misset_deg)} deg"),
        _line("unit cells", _numbers(block.N, "%.10g").replace(" ", " x ") + f"  ({micrometres} um){sizes}"),
        *([_line("blocks", f"{report.blocks:.10g}, each scattering alone")] if report.blocks != 1.0 else []),
        _line("shape", report.shape + (f", fudge {block.fudge:g}" if block.fudge != 1.0 else "")),
        _line("mosaic domains", f"{domains} over {report.mosaic_spread * _DEGREES:g} deg"),
        _line(
            "rotation",
            f"{turn.phisteps} step(s) of {turn.phistep * _DEGREES:g} deg, from "
            f"{turn.phi0 * _DEGREES:g} to {(turn.phi0 + turn.osc) * _DEGREES:g} deg",
        ),
    ]
    twins = sum(scene.placement.crystals[blocks[0]].individual > 0 for blocks in others)
    if twins:
        lines.append(_line("twin individuals", f"{twins} more"))
    if len(others) > twins:
        lines.append(_line("lattices", f"{len(others) - twins} more"))
    return lines


def _structure_factors(command: CommandLine, scene: Scene) -> list[str]:
    table = scene.tables[0]
    lines = ["structure factors"]
    source = command.inputs.get("-hkl") or command.inputs.get("-dump")
    if table.values is None:
        lines.append(_line("every reflection", f"F = {table.default_F:g}"))
    else:
        counts = table.values.shape
        ranges = ", ".join(
            f"{name} {low} to {low + n - 1}" for name, low, n in zip("hkl", table.origin, counts, strict=True)
        )
        listed = scene.placement.crystal.n_listed
        lines.append(_line("read from", f"{source} ({listed} values; {ranges})"))
        lines += ["  " + line for line in command.source]
        lines.append(_line("not listed", f"F = {table.default_F:g}"))
        lines.append(_line("between indices", _INTERPOLATION[table.interpolation]))
    return lines


def _beam(command: CommandLine, scene: Scene) -> list[str]:
    beam, placement = command.setup.beam, scene.placement
    lines = [
        "beam",
        _line("wavelength", f"{beam.wavelength_A:g} A ({beam.energy_eV:g} eV)"),
        _line("direction", _numbers(scene.panels[0].beam)),
        _line("sources", f"{len(scene.sources)}"),
    ]
    spectrum = beam.spectrum
    if spectrum is not None:
        low, high = spectrum.energies_eV[[0, -1]]
        text = f"{len(spectrum)} energies, {low:g} to {high:g} eV, rms {spectrum.rms_eV:.4g} eV"
        drawn = command.series is not None and command.series.spectra is not None
        lines.append(_line("  spectrum", text + (", another for each image" if drawn else "")))
    gauss = beam.divergence_profile == "gauss"
    parts = (
        ("dispersion", placement.dispersion, 100.0, "%"),
        ("horizontal", placement.hdiv, 1e3, "mrad"),
        ("vertical", placement.vdiv, 1e3, "mrad"),
    )
    for name, steps, factor, unit in parts:
        if steps.count > 1:
            text = f"{factor * steps.range:g} {unit} in {steps.count} steps of {factor * steps.step:g}"
            if gauss and unit == "mrad":
                text = f"{factor * steps.range:g} {unit} rms in {steps.count} nodes"
            lines.append(_line(f"  {name}", text))
    if scene.nopolar:
        lines.append(_line("polarization", "off"))
    else:
        vector = _numbers(scene.polar_vector)
        lines.append(_line("polarization", f"Kahn factor {scene.polarization:g}, E vector {vector}"))
    lines.append(_line("fluence", f"{scene.fluence:g} photons/m^2"))
    return lines


def _detector(scene: Scene) -> list[str]:
    if len(scene.panels) > 1:
        return _panels(scene)
    g, panel = scene.placement.panel, scene.panel
    mm = 1e3
    lines = [
        "detector",
        *_model(scene),
        _line(
            "pixels",
            f"{panel.fpixels} x {panel.spixels} (fast x slow) of {panel.pixel[0] * mm:g} mm, "
            f"{g.detsize_f * mm:g} x {g.detsize_s * mm:g} mm",
        ),
        _line("convention", f"{g.convention}, pivot {g.pivot}"),
        _line("distance", f"{panel.distance * mm:g} mm along the beam"),
        _line("close distance", f"{panel.close_distance * mm:g} mm along the normal"),
        _line("fast axis", _numbers(panel.fdet)),
        _line("slow axis", _numbers(panel.sdet)),
        _line("normal", _numbers(panel.odet)),
        _line("spindle", _numbers(g.spindle)),
        _line("first pixel corner", f"{_numbers(mm * x for x in panel.pix0)} mm"),
        _line("Xbeam Ybeam", f"{_numbers((mm * g.Xbeam, mm * g.Ybeam))} mm"),
        _line("Fbeam Sbeam", f"{_numbers((mm * g.Fbeam, mm * g.Sbeam))} mm"),
        _line("Xclose Yclose", f"{_numbers((mm * g.Xclose, mm * g.Yclose))} mm"),
        _line("Fclose Sclose", f"{_numbers((mm * g.Fclose, mm * g.Sclose))} mm"),
        _line("ORGX ORGY", f"{_numbers((g.ORGX, g.ORGY))} pixels"),
        _line("DIALS origin", f"{_numbers(g.dials_origin_mm)} mm"),
    ]
    if g.twotheta:
        axis = _numbers(g.twotheta_axis)
        lines.append(_line("two-theta", f"{g.twotheta * _DEGREES:g} deg about {axis}"))
    lines += _sensor(panel)
    if panel.curved != "flat":
        lines.append(_line("curved", "every pixel at the distance along the beam"))
    if panel.point_pixel:
        lines.append(_line("point pixels", "solid angle 1/R^2"))
    return lines


def _sensor(panel: PlacedPanel) -> list[str]:
    if panel.thickness <= 0.0:
        return []
    depth = f"{1e6 / panel.mu:g} um" if panel.mu > 0.0 else "infinite"
    text = f"{panel.thickness * 1e6:g} um in {panel.layers} layer(s), attenuation depth {depth}"
    return [_line("sensor", text)]


def _model(scene: Scene) -> list[str]:
    model = scene.placement.labels.model
    return [_line("model", f"{model} (nbragg detectors {model})")] if model else []


def _panels(scene: Scene) -> list[str]:
    """Several panels: how many of which sizes, and where the first and the nearest stand."""
    first, mm = scene.panels[0], 1e3
    sizes = dict.fromkeys(f"{panel.fpixels} x {panel.spixels}" for panel in scene.panels)
    near = min(scene.panels, key=lambda panel: panel.close_distance)
    lines = [
        "detector",
        *_model(scene),
        _line("panels", f"{len(scene.panels)} of {', '.join(sizes)} pixels (fast x slow)"),
        _line("pixel", f"{_numbers(mm * edge for edge in first.pixel)} mm (first panel)"),
        _line("close distance", f"{near.close_distance * mm:g} mm along the normal (nearest panel)"),
        _line("first pixel corner", f"{_numbers(mm * x for x in first.pix0)} mm (first panel)"),
        _line("spindle", _numbers(scene.placement.panels[0].spindle)),
    ]
    return lines + _sensor(first)


def _backgrounds(command: CommandLine) -> list[str]:
    """One line for each material: what it is, how much of it, and where."""
    if not command.setup.backgrounds:
        return []
    from ..model.background import Background

    lines = []
    for one in command.setup.backgrounds:
        if not isinstance(one, Background):
            continue
        name = one.table if isinstance(one.table, str) else f"{one.source or 'rows'} ({len(one.rows)} rows)"
        text = f"{name}, {one.molecules_in(command.setup.beam.beamsize_mm):.4g} molecules"
        if one.path_mm is not None:
            text += f", {one.path[0]:g} to {one.path[1]:g} mm"
        if one.segments > 1:
            text += f" in {one.segments} pieces"
        lines.append(_line("background", text))
    return lines


def _sampling(command: CommandLine, scene: Scene) -> list[str]:
    panel, recommended = scene.panels[0], scene.placement.recommended_oversample
    flags = [name for name in ("thick", "polar", "omega") if getattr(scene, f"oversample_{name}")]
    text = f"{scene.oversample} x {scene.oversample} sub-pixels"
    if scene.adaptive:
        text += " at most, as many as each pixel needs"
    if scene.oversample < recommended:
        text += f" (recommended: {recommended})"
    if flags:
        text += f", each with its own {', '.join(flags)}"
    fmin, fmax, smin, smax = panel.roi
    region = f"fast {fmin} to {fmax}, slow {smin} to {smax}"
    lines = [
        "sampling",
        _line("pixel", text),
        _line("region", region if len(scene.panels) == 1 else "every panel"),
        _line("samples", f"{scene.samples_per_pixel} a pixel"),
    ]
    masks = [part.mask for part in scene.panels if part.mask is not None]
    if masks:
        skipped = sum(int((mask == 0).sum()) for mask in masks)
        sources = [command.inputs[name] for name in ("-mask", "-geometry", "-expt") if name in command.inputs]
        sources += [scene.placement.labels.model] if scene.placement.labels.model else []
        lines.append(_line("mask", f"{skipped} pixels skipped after {' and '.join(sources)}"))
    if scene.dmin > 0.0:
        lines.append(_line("dmin", f"{scene.dmin * 1e10:g} A"))
    if scene.water > 0.0:
        lines.append(_line("water", f"{scene.water * 1e6:g} um"))
    lines += _backgrounds(command)
    if command.outputs.counts or command.setup.response is not None:
        lines.append(_line("noise seed", str(command.seed)))
    return lines


def _response(command: CommandLine) -> list[str]:
    """The detector's response: its kind, what is not at its default, and where its numbers come from."""
    response = command.setup.response
    if response is None:
        return []
    lines = ["detector response", _line("kind", response.kind)]
    for field in dataclasses.fields(response):
        value = getattr(response, field.name)
        if field.name in ("kind", "source") or value is None:
            continue
        if isinstance(value, np.ndarray):
            lines.append(_line(field.name, f"{int(value.sum())} pixels"))
        elif field.name == "gain_stages":
            lines += [_line("gain stage", _stage(stage)) for stage in value]
        elif value != field.default:
            lines.append(_line(field.name, f"{value:.12g}" if isinstance(value, float) else str(value)))
    if response.source:
        lines += [_line("" if i else "source", text) for i, text in enumerate(wrap(response.source, 76))]
    return lines


def _stage(stage: GainStage) -> str:
    text = f"{stage.gain_adu_per_keV:g} ADU/keV, pedestal {stage.pedestal_adu:g} ADU"
    text += f", noise {stage.readout_adu:g} ADU"
    return text if math.isinf(stage.switch_keV) else f"{text}, up to {stage.switch_keV:g} keV"


def scene_lines(command: CommandLine, scene: Scene) -> list[str]:
    """Everything that decides the image, in the units of the command line."""
    sections = (
        _crystal(scene),
        _structure_factors(command, scene),
        _beam(command, scene),
        _detector(scene),
        _sampling(command, scene),
        _response(command),
    )
    lines: list[str] = []
    for section in sections:
        lines += [*section, ""] if section else []
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


def samples_lines(result: Result, options: RenderOptions) -> list[str]:
    """How many samples were evaluated, where that is not all of them or was to be fewer."""
    from ..simulation.cost import samples_of

    everything = samples_of(result.scene)
    if result.visited is None:
        asked = options.tolerance_photons > 0.0
        return (
            [_line("samples", f"all {everything:.3g}: none can be left out here, or it would not pay")]
            if asked
            else []
        )
    text = f"{result.visited:.3g} of {everything:.3g} evaluated"
    if result.left_out > 0.0:
        text += f"; no pixel has lost more than {result.left_out:.3g} photons"
    return [_line("samples", text)]


def output_lines(
    command: CommandLine, int_scale: float, pgm_scale: float, noise: NoiseImage | DetectorImage | None
) -> list[str]:
    """The files written and the scales they were written with."""
    out = command.outputs
    assert out.float_file is not None and out.int_file is not None
    lines = [
        "wrote",
        _line(out.float_file, "float32, photons"),
        _line(out.int_file, f"SMV, scale {int_scale:g}, offset {out.offset:g}"),
    ]
    if out.pgm_file is not None:
        lines.append(_line(out.pgm_file, f"8-bit preview, scale {pgm_scale:g}"))
    if out.noise_file is not None and noise is not None:
        response = command.setup.response
        if response is None:
            text = f"SMV with photon noise, offset {out.offset:g}, {noise.overloads} overloads"
        else:
            text = f"SMV of counts, offset {response.resolved_adc:g}, {noise.overloads} overloads"
            if underloads := getattr(noise, "underloads", 0):
                text += f", {underloads} underloads"
        lines.append(_line(out.noise_file, text))
    if out.dump_file is not None:
        nodes = command.setup.sample.crystals[0].structure_factors.nodes
        alone = f", those at {0.5 * (nodes[0] + nodes[-1]):g} eV alone" if nodes else ""
        lines.append(_line(out.dump_file, "structure factors for the next run" + alone))
    return lines
