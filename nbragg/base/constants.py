"""Physical constants in the units their names carry; the values live in ``csrc/nb_constants.h``."""

from __future__ import annotations

from .. import _engine

R_E_SQR: float = _engine.CONSTANTS["R_E_SQR"]  #: classical electron radius squared, m^2
HC_EV_A: float = _engine.CONSTANTS["HC_EV_A"]  #: photon energy times wavelength, eV angstrom
DEFAULT_FLUENCE: float = _engine.CONSTANTS["DEFAULT_FLUENCE"]  #: photons/m^2; makes r_e^2 * fluence = 1
AVOGADRO: float = _engine.CONSTANTS["AVOGADRO"]  #: 1/mol
BOLTZMANN: float = _engine.CONSTANTS["BOLTZMANN"]  #: J/K
WATER_F: float = _engine.CONSTANTS["WATER_F"]  #: electrons per molecule, forward
WATER_MOLAR_MASS: float = _engine.CONSTANTS["WATER_MOLAR_MASS"]  #: g/mol
WATER_DENSITY: float = _engine.CONSTANTS["WATER_DENSITY"]  #: g/m^3
SPHERE_SCALE: float = _engine.CONSTANTS["SPHERE_SCALE"]  #: of the round lattice factor (canonical 7.1)
GAUSS_WIDTH: float = _engine.CONSTANTS["GAUSS_WIDTH"]  #: of the Gaussian lattice factor
TOPHAT_RADIUS_SQR: float = _engine.CONSTANTS["TOPHAT_RADIUS_SQR"]  #: of the flat lattice factor
