"""Geometries for tests: positions of pixels, DIALS experiments as JSON, and CrystFEL geometries as text."""

from __future__ import annotations

import math
from typing import Any

import dials_run
import numpy as np
from numpy.typing import NDArray

from nbragg import Panel
from nbragg.io.geometry.record import Geometry


def centres(panel: Panel) -> NDArray[np.float64]:
    """Positions of pixel centres, (spixels, fpixels, 3), mm."""
    fast, slow = np.array(panel.fast), np.array(panel.slow)
    fast, slow = fast / np.linalg.norm(fast), slow / np.linalg.norm(slow)
    pf, ps = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm,) * 2
    i = (panel.first[0] + np.arange(panel.fpixels) + 0.5) * pf
    j = (panel.first[1] + np.arange(panel.spixels) + 0.5) * ps
    return np.asarray(panel.origin_mm + i[None, :, None] * fast + j[:, None, None] * slow)


def farthest(one: Geometry, other: Geometry) -> float:
    """The largest distance between pixel centres of the same index, m."""
    assert len(one.panels) == len(other.panels)
    pairs = zip(one.panels, other.panels, strict=True)
    return max(float(np.abs(centres(a) - centres(b)).max()) for a, b in pairs) * 1e-3


def expt_of(geometry: Geometry, **more: Any) -> dict[str, Any]:
    """The experiments of a geometry, flat, as JSON has them; ``more`` holds lists of further models."""
    b = np.array(geometry.beam_vector) / np.linalg.norm(geometry.beam_vector)
    beam: dict[str, Any] = {"__id__": "monochromatic", "direction": (-b).tolist()}
    if geometry.wavelength_A is not None:
        beam["wavelength"] = geometry.wavelength_A
    if geometry.polar_vector is not None:
        beam["polarization_normal"] = np.cross(b, geometry.polar_vector).tolist()
    if geometry.polarization is not None:
        beam["polarization_fraction"] = (1 + geometry.polarization) / 2
    models = {"beam": [beam], "detector": [{"panels": [_expt_panel(p) for p in geometry.panels]}], **more}
    if "goniometer" not in models and geometry.spindle_axis is not None:
        models["goniometer"] = [{"rotation_axis": list(geometry.spindle_axis)}]
    names = ("imageset", "beam", "detector", "goniometer", "scan", "crystal")
    count = max(len(models.get("crystal", [])), 1)
    experiments = [
        {"__id__": "Experiment", **{n: i if n == "crystal" else 0 for n in names if models.get(n)}}
        for i in range(count)
    ]
    return {"__id__": "ExperimentList", "experiment": experiments, **models}


def _expt_panel(panel: Panel) -> dict[str, Any]:
    pf, ps = panel.pixel_mm if isinstance(panel.pixel_mm, tuple) else (panel.pixel_mm,) * 2
    fast, slow = (np.array(v) / np.linalg.norm(v) for v in (panel.fast, panel.slow))
    corner = np.array(panel.origin_mm) + panel.first[0] * pf * fast + panel.first[1] * ps * slow
    attenuation = panel.attenuation_um
    return {
        "name": panel.name,
        "fast_axis": fast.tolist(),
        "slow_axis": slow.tolist(),
        "origin": corner.tolist(),
        "pixel_size": [pf, ps],
        "image_size": [panel.fpixels, panel.spixels],
        "thickness": panel.thickness_um / 1e3,
        "mu": 1e3 / attenuation if attenuation and math.isfinite(attenuation) else 0.0,
        "mask": [],
        "gain": 1.0,
    }


def crystal_of(a_matrix: NDArray[np.float64], **more: Any) -> dict[str, Any]:
    """A crystal of an A matrix (columns a*, b*, c*), as JSON has it."""
    direct = np.linalg.inv(a_matrix)
    return {f"real_space_{axis}": row.tolist() for axis, row in zip("abc", direct, strict=True)} | more


def geom_text(*panels: str, top: str = "") -> str:
    """A .geom file with a few panels, each given by its own statements beyond a common ground."""
    lines = [
        "; made for a test",
        "photon_energy = 9500 eV" if "photon_energy" not in top and "wavelength" not in top else "",
        "clen = 0.1" if "clen" not in top else "",
        "adu_per_photon = 1",
        "res = 10000",
        top,
    ]
    for i, own in enumerate(panels or ("",)):
        name = f"p{i}"
        given = {
            "min_fs": "0",
            "max_fs": "9",
            "min_ss": "0",
            "max_ss": "4",
            "corner_x": "-5",
            "corner_y": "-2",
        }
        given |= {"fs": "x", "ss": "y"}
        given |= dict(line.split("=", 1) for line in own.split("|") if line)
        lines += [f"{name}/{key} = {value}" for key, value in given.items()]
    return "\n".join(lines) + "\n"


def dxtbx(code: str, *arguments: str) -> str:
    """What a program of the system's Python prints, which has dxtbx; skips where it is missing."""
    dials_run.need()
    return dials_run.output(code, *arguments)
