"""Materials: what they are made of, their densities, and how strongly they attenuate X-rays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..base import numbers
from ..base import validate as check
from ..base.attenuation import KINDS, mass_attenuation
from ..base.errors import InputError
from ..base.formula import parse_formula
from ..base.names import suggestion
from ..base.records import Record, frozen
from ..base.vectors import FloatArray

__all__ = ["MATERIALS", "Layer", "Material", "as_layers", "as_material", "attenuation", "material_names"]


@frozen
class Material(Record):
    """A material by its formula and density.

    Parameters
    ----------
    formula : str
        Such as ``"C22H10N2O5"``: elements up to uranium, counts whole or not, groups in round brackets.
    density : float
        g/cm^3.

    Raises
    ------
    InputError
        For what is not a formula, or a density that is not positive.

    Examples
    --------
    >>> import nbragg
    >>> quartz = nbragg.Material("SiO2", 2.65)
    >>> print(f"{1e6 / nbragg.attenuation(quartz, 12398.42):.0f} um")
    373 um
    """

    formula: str
    density: float

    def __post_init__(self) -> None:
        if not isinstance(self.formula, str):
            raise InputError(f"formula must be text, not {self.formula!r}")
        parse_formula(self.formula)
        self._set("density", check.number("density", self.density, above=0))


#: what can be given by name: densities in g/cm^3, of gases at 20 degrees Celsius and 1 bar or so
MATERIALS: dict[str, Material] = {
    "Si": Material("Si", 2.33),
    "CdTe": Material("CdTe", 5.85),
    "GaAs": Material("GaAs", 5.32),
    "Ge": Material("Ge", 5.32),
    "GOS": Material("Gd2O2S", 7.32),
    "diamond": Material("C", 3.51),
    "Kapton": Material("C22H10N2O5", 1.42),
    "Mylar": Material("C10H8O4", 1.38),
    "Be": Material("Be", 1.848),
    "Al": Material("Al", 2.70),
    "air": Material("N1.562O0.42Ar0.0093", 1.2041e-3),
    "He": Material("He", 1.66e-4),
    "helium": Material("He", 1.66e-4),
    "water": Material("H2O", 1.0),
}


#: a material and its thickness in micrometre
Layer = tuple[str | Material, float]


def material_names() -> tuple[str, ...]:
    """The materials that can be given by name.

    Examples
    --------
    >>> import nbragg
    >>> "Kapton" in nbragg.material_names()
    True
    """
    return tuple(MATERIALS)


def as_material(name: str, value: Any) -> Material:
    """A Material as it is, or the one of that name.

    Parameters
    ----------
    name : str
        Of the argument, for messages.
    value : str or Material

    Raises
    ------
    InputError
        For a name that is not known, with the nearest that is.
    """
    if isinstance(value, Material):
        return value
    if not isinstance(value, str):
        raise InputError(f"{name} must be the name of a material or a Material, not {value!r}")
    if value not in MATERIALS:
        raise InputError(
            f"{name}: there is no material {value!r}{suggestion(value, MATERIALS)}; any other is "
            "nbragg.Material(formula, density in g/cm^3)"
        )
    return MATERIALS[value]


def as_layers(name: str, value: Any) -> tuple[Layer, ...]:
    """Pairs of a material and its thickness in micrometre; one pair is taken for a list of it.

    Raises
    ------
    InputError
        For anything else, a material that is not known, and a negative thickness.
    """
    if isinstance(value, (tuple, list)) and len(value) == 2 and isinstance(value[0], (str, Material)):
        value = (value,)
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise InputError(f"{name} must be pairs of a material and micrometres, not {value!r}")
    result = []
    for i, pair in enumerate(value):
        place = f"{name}[{i}]"
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"{place} must be a material and micrometres, not {pair!r}")
        as_material(place, pair[0])
        result.append((pair[0], check.number(f"{place}: micrometres", pair[1], at_least=0)))
    return tuple(result)


def attenuation(material: str | Material, energy_eV: Any, kind: str = "total") -> Any:
    """Linear attenuation coefficient: a beam falls by exp(-attenuation times thickness).

    Parameters
    ----------
    material : str or Material
        A name of the table in the documentation ("Si", "Kapton", "air" ...), or any other as a `Material`.
    energy_eV : float or array_like
        Photon energy, 1000 to 100000 eV.
    kind : {"total", "photo"}
        What a narrow beam loses; or by photoelectric absorption alone, which is what a sensor counts.

    Returns
    -------
    float or ndarray
        1/m, of the shape of ``energy_eV``.

    Raises
    ------
    InputError
        For a material that is not known, an energy outside the table, another kind.

    Notes
    -----
    From the tables of W. T. Elam, B. D. Ravel and J. R. Sieber, Radiat. Phys. Chem. 63 (2002) 121, as
    xraydb has them, at 400 energies and both sides of every edge; between them the logarithm is linear in
    that of the energy, within 1e-3.  Compounds add up by mass; bonds and crystals are left out.

    Examples
    --------
    >>> import nbragg
    >>> print(f"{1e6 / nbragg.attenuation('Si', 12398.42, kind='photo'):.1f} um")
    245.5 um
    """
    what, kind = as_material("material", material), check.choice("kind", kind, KINDS)
    energy = numbers.array(energy_eV)
    mu: FloatArray = 1e3 * what.density * mass_attenuation(parse_formula(what.formula), energy, kind)
    return numbers.scalar(mu[()]) if mu.ndim == 0 else mu
