"""Each option of the command line with what says the same in Python, made from the table of options.

``python docs/option_table.py`` prints it as Markdown.
"""

from __future__ import annotations

import dataclasses

from nbragg.cli.options import GROUPS, OPTIONS, Option
from nbragg.model.background import Background
from nbragg.model.diffuse import LiquidMotions
from nbragg.model.response import DetectorResponse
from nbragg.model.setup import RECORDS
from nbragg.model.surroundings import Surroundings

__all__ = ["markdown", "python_for"]

_RECORDS = {
    **RECORDS,
    "response": DetectorResponse,
    "surroundings": Surroundings,
    "background": Background,
    "diffuse": LiquidMotions,
}
_CLASSES = {name: kind.__name__ for name, kind in _RECORDS.items()}
_FIELDS = {name: {field.name for field in dataclasses.fields(kind)} for name, kind in _RECORDS.items()}

#: fields of a record that one option sets in part
_PARTS = {
    **{f"crystal.N_{axis}": "Crystal(N=...)" for axis in "abc"},
    **{f"crystal.size_{axis}": "Crystal(size_mm=...)" for axis in "abc"},
    **{f"crystal.block_size_{axis}": "Crystal(block_size_mm=...)" for axis in "abc"},
    "beam.energy_eV": "Beam.from_energy(...)",
}

#: settings without a counterpart: the pivot is the convention's, and files are written when asked for
_NONE = (
    "detector.pivot_in_order",
    "output.header_offset",
    "output.noise",
    "output.nofiles",
    "output.pgm",
    "run.quiet",
)

#: settings that are no field of a record; alternatives with | between them
_OTHERS = {
    "background.specs": "Background(...)",
    "hkl.default_F": "StructureFactors.constant(...) | StructureFactors.from_file(..., default_F=...)",
    "input.hkl": "read_crystal(...) | StructureFactors.from_file(...)",
    "input.column": "StructureFactors.from_file(..., column=...)",
    "input.dump": "StructureFactors.from_file(...)",
    "input.matrix": "Crystal(a_matrix=nbragg.io.read_matrix(...) / wavelength_A)",
    "input.sources": "Beam(sources=SourceList.from_file(...))",
    "input.detector": "Detector.named(...)",
    "input.img": 'from_cli("-img ...")',
    "input.geometry": "read_geometry(...)",
    "input.experiments": "read_experiments(...)",
    "input.gain_stages": "DetectorResponse(gain_stages=[GainStage(...), ...])",
    "input.badpix_map": "DetectorResponse(dead_map=...)",
    "input.mask": "Detector(mask=nbragg.io.read_mask(...))",
    "output.float_file": 'result.save("name.bin")',
    "output.int_file": 'result.save("name.img")',
    "output.noise_file": "result.noise(seed) | result.detect(seed)",
    "output.pgm_file": 'result.save("name.pgm")',
    "output.save_files": "result.save(...) | save_series(...)",
    "output.save_noise_files": 'result.save(..., save_as="counts", seed=...) | save_series(...)',
    "output.save_as": 'result.save(..., save_as="counts", seed=...)',
    "output.first_frame": "save_series(..., first_frame=...)",
    "output.overwrite": "result.save(..., overwrite=False)",
    "output.compression": 'result.save("name.nxs", compression=...)',
    "output.int_scale": 'result.save("name.img", scale=...)',
    "output.pgm_scale": 'result.save("name.pgm", scale=...)',
    "output.adc": "result.noise(seed, adc=...) | DetectorResponse(adc=...)"
    ' | result.save("name.img", offset=...)',
    "run.seed": "result.noise(seed) | result.detect(seed)",
    "run.response": "DetectorResponse.preset(...)",
    "run.rng": "result.noise(seed) | result.detect(seed)",
    "background.table": "Background(path, unit=...)",
    "background.density": "Background(..., density=...)",
    "background.molar_mass": "Background(..., molar_mass=...)",
    "background.molecules": "Background(..., molecules=...)",
    "run.preset": 'from_cli("-preset ...")',
    "run.physics": "simulate(..., physics=...)",
    "run.precision": "simulate(..., precision=...)",
    "run.tolerance_photons": "simulate(..., tolerance_photons=...)",
    "run.device": "simulate(..., device=...)",
    "run.threads": "simulate(..., threads=...)",
    "run.progress": "simulate(..., progress=...)",
    "run.frames": "Series.frames(setup, n)",
    "run.random": "Series.random(setup, n, seed)",
    "run.lattices": "Series.random(setup, n, seed, lattices=Lattices(...))",
    "input.crystals": "Sample([crystal, load(path)])",
    "input.spectrum": "Spectrum.from_file(path)",
    "input.spectrum_channels": "Spectrum.rebin(spectrum, n)",
    "run.orientation_frame": "Series.save_truth(..., frame=...)",
    "run.printout": "result.trace(slow, fast)",
    "run.printout_pixel": "result.trace(slow, fast)",
    "run.only_diffuse": "Setup(..., sampling=Sampling(bragg=False), backgrounds=())",
    "run.version": "nbragg.__version__",
    "run.help": "help(nbragg.simulate)",
}


def python_for(option: Option) -> list[str]:
    """What says the same in Python, alternatives one by one; empty where there is nothing to say.

    Raises
    ------
    KeyError
        A setting of the option is unknown here.
    """
    if not option.effect:
        return []
    # what an option with a value sets besides says nothing new
    settings = [(target, "...") for target in option.sets] or [
        (target, repr(value).replace("'", '"')) for target, value in option.also
    ]
    calls = [_python(target, value).split(" | ") for target, value in settings if target not in _NONE]
    return list(dict.fromkeys(call for group in calls for call in group))


def _python(target: str, value: str) -> str:
    if target in _PARTS | _OTHERS:
        return (_PARTS | _OTHERS)[target]
    record, _, field = target.partition(".")
    if record in _CLASSES:
        if field not in _FIELDS[record]:
            raise KeyError(f"{target}: {_CLASSES[record]} has no such field, and the table here no entry")
        return f"{_CLASSES[record]}({field}={value})"
    raise KeyError(target)


def markdown() -> str:
    """The table, group by group."""
    parts = []
    for key, title in GROUPS:
        rows = [_row(option) for option in OPTIONS if option.group == key]
        parts += [f"**{title}**", "", "| option | Python | unit |", "|---|---|---|", *rows, ""]
    return "\n".join(parts)


def _row(option: Option) -> str:
    names = ", ".join(f"`{name}`" for name in option.names)
    calls = ", ".join(f"`{call}`" for call in python_for(option))
    return f"| {names} | {calls or ('not needed' if option.effect else 'no effect')} | {option.unit} |"


if __name__ == "__main__":
    print(markdown())
