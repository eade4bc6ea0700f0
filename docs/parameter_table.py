"""The table of parameters of docs/derivatives.md: ``python docs/parameter_table.py``."""

from __future__ import annotations

from nbragg.scene.parameter_registry import REGISTRY

__all__ = ["MEANING", "markdown"]

SHARP = "moves a sharp edge, and is refused: the derivative is 0 almost everywhere"

#: parameter -> what it says; the fields' own documentation says the rest
MEANING = {
    "crystal.cell": "edges `crystal.cell.a` `.b` `.c`, and angles `.alpha` `.beta` `.gamma` in deg",
    "crystal.a_matrix": "row of x, y, z, column of a\\*, b\\*, c\\*",
    "crystal.misset_deg": "three angles; a drawn misset is its angles",
    "crystal.rotation_deg": "rotation vector about the laboratory axes, after the misset, before phi",
    "crystal.N": "unit cells along a, b, c, as real numbers",
    "crystal.fudge": "width of round, gauss and tophat spots",
    "crystal.blocks": "of N cells each, where given",
    "crystal.illuminated_volume_um3": "of the crystal in the beam, where given",
    "crystal.mosaic_spread_deg": "one, three or six numbers; each domain turns on about its own axis",
    "crystal.domain_weight": "of one mosaic domain",
    "crystal.mosaic_weights": "of one mosaic domain, the mean of all held",
    "crystal.cell_spread": "relative strain of the domains' cells, one, three or six numbers",
    "crystal.Ndef": "of the tensor of unit cells, off its diagonal",
    "crystal.twin": "fraction of one individual",
    "crystal.phi_deg": "start of the rotation",
    "crystal.osc_deg": "its range, where that decides the step",
    "crystal.phistep_deg": "its step, where given",
    "crystal.structure_factors.values": "of one reflection: `crystal.structure_factors[h,k,l]`",
    "crystal.structure_factors.default_F": "of all that are not listed",
    "crystal.diffuse.gamma_A": "correlation length, one or three numbers",
    "crystal.diffuse.sigma_A": "displacement, one or three numbers; of the spots as well",
    "crystal.diffuse.temperature_K": "of thermal diffuse scattering",
    "crystal.diffuse.v_L": "velocity of longitudinal sound",
    "crystal.diffuse.v_T": "velocity of transverse sound",
    "crystal.diffuse.mass_kDa": "of a cell",
    "beam.wavelength_A": "of a spectrum: all its energies move alike",
    "beam.spectrum.weights": "of one energy; through the sum of all, which stays 1",
    "beam.spectrum.energies_eV": "of one energy; the beam's own wavelength follows",
    "beam.dispersion_pct": "full range of wavelengths",
    "beam.hdivrange_mrad": "full range of divergence, where that decides the step",
    "beam.vdivrange_mrad": "full range of divergence, where that decides the step",
    "beam.hdivstep_mrad": "its step, where given",
    "beam.vdivstep_mrad": "its step, where given",
    "beam.sources.positions": "of one source of a list: x, y, z",
    "beam.sources.weights": "of one source; through the mean of all",
    "beam.sources.wavelengths_A": "of one source",
    "beam.polarization": "Kahn factor",
    "beam.polarization_azimuth_deg": "turns the polarization about the beam",
    "beam.fluence": "given, or what flux, exposure and size of the beam make",
    "beam.flux": "where it decides the fluence",
    "beam.exposure_s": "where flux decides the fluence",
    "beam.beamsize_mm": "where flux decides the fluence",
    "detector.distance_mm": "where given",
    "detector.close_distance_mm": "where given",
    "detector.Xbeam_mm": "where given",
    "detector.Ybeam_mm": "where given",
    "detector.Xclose_mm": "where given",
    "detector.Yclose_mm": "where given",
    "detector.ORGX": "where given",
    "detector.ORGY": "where given",
    "detector.rotx_deg": "",
    "detector.roty_deg": "",
    "detector.rotz_deg": "",
    "detector.twotheta_deg": "the pivot is held",
    "detector.shift_mm": "of the whole detector along laboratory x, y, z",
    "detector.pixel_mm": "a default beam centre follows",
    "detector.thickness_um": "of the sensor",
    "detector.attenuation_um": "of the sensor: depth",
    "detector.panels.origin_mm": "of one panel, `detector.panels[i].origin_mm[k]`",
    "detector.panels.pixel_mm": "of one panel",
    "detector.panels.thickness_um": "of one panel",
    "detector.panels.attenuation_um": "of one panel",
    "sampling.water_um": "edge of the cube of water",
    "sample.weights": "of one crystal of several",
    "detector.front": "micrometres of one layer before the sensor, `detector.front[i]`",
    "detector.panels.front": "of one panel, `detector.panels[j].front[i]`",
    "backgrounds.molecules": "of one background, `backgrounds[i].molecules`, where given",
    "backgrounds.thickness_mm": "where no path is given",
    "backgrounds.width_mm": "where the beam does not cut it",
    "backgrounds.height_mm": "where the beam does not cut it",
    "backgrounds.density": "given, or the material's",
    "backgrounds.molar_mass": "given, or the material's",
    "backgrounds.path_mm": "its two ends",
    "backgrounds.table": "F of row k, `backgrounds[i].table[k]`; a material's rows become a table",
    "backgrounds.photons_per_sr": "of a `RadialCurve`, `backgrounds[i].photons_per_sr[k]`",
    "surroundings.vacuum_mm": "where there is a gas",
    "surroundings.upstream": "micrometres of one layer, `surroundings.upstream[i]`",
    "surroundings.windows.thickness_um": "of one window, `surroundings.windows[i].thickness_um`",
    "surroundings.windows.distance_mm": SHARP,
    "surroundings.sample_absorption.radius_mm": "of a ball",
    "surroundings.sample_absorption.thickness_mm": "of a slab",
    "surroundings.sample_absorption.crystal_at_mm": "where given",
    "surroundings.beamstops.transmission": "of one beam stop, `surroundings.beamstops[i].transmission`",
    "surroundings.beamstops.distance_mm": SHARP,
    "surroundings.beamstops.diameter_mm": SHARP,
    "surroundings.beamstops.centre_mm": SHARP,
    "surroundings.beamstops.arm_width_mm": SHARP,
    "surroundings.beamstops.arm_angle_deg": SHARP,
    "surroundings.apertures.transmission": "beside the hole",
    "surroundings.apertures.distance_mm": SHARP,
    "surroundings.apertures.diameter_mm": SHARP,
    "surroundings.apertures.centre_mm": SHARP,
    "surroundings.shadows.transmission": "inside the outline",
    "surroundings.shadows.distance_mm": SHARP,
    "surroundings.shadows.polygon_mm": SHARP,
    "response.scale": "of counts, as all of the response",
    "response.flicker": "moves the variance alone",
    "response.calibration": "moves the variance alone",
    "response.psf_fwhm_um": "where there is a point spread",
    "response.charge_sigma_um": "where it is not 0, of integrating detectors",
    "response.fano": "moves the variance alone",
    "response.gain": "of integrating detectors",
    "response.readout": "moves the variance alone",
    "response.adc": "of integrating detectors",
    "response.dead_time_ns": "of counting detectors",
}


def markdown() -> str:
    """The table: parameter, unit, what it says."""
    rows = [
        f"| `{name.removesuffix('.values')}` | {entry.unit} | {MEANING[name]} |"
        for name, entry in REGISTRY.items()
    ]
    return "\n".join(["| parameter | unit | |", "|---|---|---|", *rows, ""])


if __name__ == "__main__":
    print(markdown())
