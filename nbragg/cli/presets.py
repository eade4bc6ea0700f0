"""Whole experiments as lists of ordinary options, for ``-preset``; imports nothing heavy."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["PRESETS", "Preset"]


class Preset(NamedTuple):
    """Options in the order in which they count, and what they stand for."""

    about: str
    words: str


#: by name; an option on the line replaces all of that name here
PRESETS: dict[str, Preset] = {
    "mx": Preset(
        "a rotation image of 0.1 degree at a synchrotron: 50 um of crystal in 100 um of solvent, air, a beam "
        "stop on an arm, a Pilatus 6M at 300 mm",
        "-physics exact -detector pilatus_6m -distance 300 -lambda 0.9795 -polar 0.99"
        " -flux 4e11 -exposure 0.1 -beamsize 0.05"
        " -xtalsize 1e-4 -gauss_xtal -illuminated_volume 1.25e5 -mosaic 0.08 -mosaic_domains 12"
        " -osc 0.1 -phisteps 4"
        " -background water,thick=0.1 -background air,path=-5:25,segments=30 -air_path"
        " -beamstop distance=25,diameter=0.8,arm=0.2,angle=-90"
        " -response pilatus -save_as counts -nonoise -nopgm -save mx_####.cbf -save mx_####.png",
    ),
    "sfx": Preset(
        "a still at an X-ray laser: 2 um of crystal in blocks of 150 to 250 nm, in a liquid jet of 5 um, in "
        "vacuum, a pulse of 5e11 photons of 9.5 keV in 3 um with the spikes of SASE over 0.2 %, a Jungfrau "
        "4M at 100 mm; with -random every shot has its own spectrum, sizes and number of crystals",
        "-physics exact -detector jungfrau_4m -distance 100 -polar 0.99"
        " -flux 5e11 -exposure 1 -beamsize 0.003 -spectrum sase:9500,0.2%,seed=1"
        " -lattices poisson:1.3 -N_distribution uniform:150:250 -gauss_xtal -illuminated_volume 8"
        " -mosaic 0.05 -mosaic_domains 12 -background water,thick=0.005"
        " -beamstop distance=80,diameter=2"
        " -response jungfrau -save_as counts -nonoise -nopgm -save sfx.nxs -save sfx_####.png",
    ),
}
