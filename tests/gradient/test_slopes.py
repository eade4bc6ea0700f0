"""Slopes of lattice factors and of the interpolation, sample by sample, against 50 digits.

Each panel is one point pixel whose sample lies x from a reflection along a, from 1e-12 of a cell to its edge,
and on a reflection of the two other axes.  Errors are fractions of the largest slope (gradients 6.2).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import numpy.typing as npt
import oracle
import pytest
from gradient_parts import ISA_LEVELS, gradient, jacobian
from parts import build_scene

from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.scene.record import Scene
from nbragg.scene.tangent import CrystalTangent, SceneTangent

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Array = npt.NDArray[Any]

EDGE, DISTANCE, WAVELENGTH = 5e-9, 0.1, 1e-10
#: errors by precision, of the largest slope; of the block largest near its zeros, where N x is a half
BLOCK = {"double": 8e-14, "mixed": 1.5e-6}
SPHERE = {"double": 2e-14, "mixed": 2e-6}
GAUSSIAN = {"double": 2e-15, "mixed": 2e-7}
TRICUBIC = {"double": 4e-15, "mixed": 6e-7}
#: none at -1e-12, where the number that is added against 0/0 in single precision cancels
STEPS = np.concatenate([10.0 ** np.arange(-12.25, -1.5, 0.5), np.linspace(0.013, 0.4999999, 40)])
PLACES = np.concatenate([-STEPS[::-1], [0.0], STEPS])


def scene_of(cells: float, shape: str, whole: int = 0, places: Array = PLACES, **table: Any) -> Scene:
    """A pixel for each x: h = whole + x, k = l = 0; one photon of fluence, F^2 r_e^2 = 1."""
    base: Scene = build_scene(
        Crystal(cell=(50, 50, 50, 90, 90, 90), N=5, structure_factors=StructureFactors.constant(1.0)),
        Beam(wavelength_A=1.0, nopolar=True, beam_vector=(1, 0, 0)),
        Detector(fpixels=1, spixels=1, pixel_mm=0.1, distance_mm=100.0, point_pixel=True),
        Sampling(oversample=1),
        physics="exact",
    )
    sine = (whole + places) * WAVELENGTH / EDGE
    y = DISTANCE * sine / np.sqrt(1 - sine**2)
    half = base.panel.pixel[0] / 2
    turned = dataclasses.replace(
        base.panel, fdet=np.array([0.0, 1, 0]), sdet=np.array([0.0, 0, 1]), odet=np.array([1.0, 0, 0]),
        beam=np.array([1.0, 0, 0]),
    )  # fmt: skip
    panels = [dataclasses.replace(turned, pix0=np.array([DISTANCE, v - half, -half])) for v in y.tolist()]
    # b and c are so short that k and l are 0 of a cell to any precision
    rows = np.array([[0, EDGE, 0], [0, 0, EDGE], [1e-40, 0, 0]])
    block = dataclasses.replace(
        base.crystal, orientations=rows[None], N=np.array([cells, 1.0, 1.0]), shape=shape, fudge=0.8,
        shape_metric=np.diag([cells**2, 1.0, 1.0]),
    )  # fmt: skip
    F = dataclasses.replace(base.table, default_F=float(1 / np.sqrt(oracle.R_E_SQR)), **table)
    return dataclasses.replace(base, panels=tuple(panels), crystals=(block,), tables=(F,), fluence=1.0)


@dataclasses.dataclass
class Slopes:
    """What the oracle says of the pixels: h, its rate by the y component of a, the solid angle."""

    scene: Scene

    def __post_init__(self) -> None:
        found = []
        for panel in self.scene.panels:
            (sample,) = oracle.samples(self.scene, panel, *oracle.pixels_of(panel)[:2])
            q = (sample.d - sample.incident) / oracle.wide(WAVELENGTH)
            assert (np.abs(sample.hkl[..., 1:]) < 1e-16).all()
            omega = oracle.solid_angle(panel, sample.place)
            found.append((sample.hkl[0, 0, 0], q[0, 0, 1], omega[0, 0]))
        self.h, self.rate, self.omega = (np.array(column) for column in zip(*found, strict=True))
        self.x = self.h - oracle.nearest(self.h)

    def of_engine(self, precision: str) -> tuple[Array, Array]:
        """Slopes of F^2 L^2 by h, and by the number of cells along a."""
        move = np.zeros((1, 3, 3))
        move[0, 0, 1] = 1.0
        tangents = [
            SceneTangent(crystals=(CrystalTangent(orientations=move),)),
            SceneTangent(crystals=(CrystalTangent(N=np.array([1.0, 0, 0])),)),
        ]
        rows = jacobian(gradient(self.scene, tangents, (), precision=precision), 2)
        by_edge, by_number = rows.reshape(2, -1)
        still = self.rate == 0  # on the beam
        assert (by_edge[still] == 0).all()
        return by_edge / np.where(still, 1, self.rate * self.omega), by_number / self.omega


def digits(x: Any) -> Any:
    """An 80-bit number for mpmath."""
    return mpmath.mpf(str(np.format_float_scientific(x, 25, unique=False)))


def exactly(function: Callable[[Any], Any], places: Array) -> Array:
    """A function of mpmath numbers at 80-bit places, as 80-bit numbers."""
    with mpmath.workdps(120):
        return np.array([oracle.REAL(mpmath.nstr(function(digits(x)), 25)) for x in places])


def assert_slopes(
    slopes: Slopes, by_h: Array, by_n: Array | None, limit: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In both precisions and with every instruction set."""
    for isa in ISA_LEVELS:
        monkeypatch.setenv("NBRAGG_ISA", isa)
        for precision in limit:
            place, number = slopes.of_engine(precision)
            for found, stated in ((place, by_h), (number, by_n)):
                if stated is not None:
                    largest = max(float(np.abs(stated).max()), 1.0)
                    error = float(np.abs(found - stated).max()) / largest
                    assert error <= limit[precision], (isa, precision)


def block_slopes(n: Any, x: Any) -> tuple[Any, Any]:
    """Of s = sin^2(pi n x) / sin^2(pi x), by x and by n."""
    if x == 0:
        return mpmath.mpf(0), 2 * n
    pi, sin = mpmath.pi, mpmath.sin
    s = (sin(pi * n * x) / sin(pi * x)) ** 2
    top = sin(2 * pi * n * x) / sin(pi * x) ** 2
    return pi * n * top - 2 * pi * mpmath.cot(pi * x) * s, pi * x * top


@pytest.mark.parametrize("cells", [1.0, 1.5, 5.0, 12.37, 100.0])
def test_block(cells: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one cell s is 1, its slope by x 0, and that by N is not 0."""
    slopes = Slopes(scene_of(cells, "square"))
    n = mpmath.mpf(cells)
    by_h = exactly(lambda x: block_slopes(n, x)[0], slopes.x)
    by_n = exactly(lambda x: block_slopes(n, x)[1], slopes.x)
    assert cells > 1 or float(np.abs(by_h).max()) < 1e-30 < float(np.abs(by_n).max())
    assert_slopes(slopes, by_h, by_n, BLOCK, monkeypatch)


@pytest.mark.parametrize("cells", [1.5, 5.0, 12.37])
def test_block_of_another_reflection(cells: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """About h = 3 as about 0, N h whole or not; x is known to an ulp of h, which moves the slope."""
    slopes = Slopes(scene_of(cells, "square", 3))
    assert (oracle.nearest(slopes.h) == 3).all()
    n = mpmath.mpf(cells)
    by_h = exactly(lambda x: block_slopes(n, x)[0], slopes.x)
    known = {name: error + 4e-15 * cells for name, error in BLOCK.items()}
    assert_slopes(slopes, by_h, exactly(lambda x: block_slopes(n, x)[1], slopes.x), known, monkeypatch)


def sphere_slopes(z: Any) -> tuple[Any, Any]:
    """S^2 and its slope by z for S = 3 (sin X - X cos X) / X^3, z = X^2."""
    if z == 0:
        return mpmath.mpf(1), -mpmath.mpf(1) / 5
    X = mpmath.sqrt(z)
    j1 = (mpmath.sin(X) / X - mpmath.cos(X)) / X
    j2 = (3 / z - 1) * mpmath.sin(X) / X - 3 * mpmath.cos(X) / z
    return (3 * j1 / X) ** 2, 2 * (3 * j1 / X) * (-3 * j2 / (2 * z))


@pytest.mark.parametrize("cells", [1.0, 1.5, 5.0, 12.37, 100.0])
def test_sphere(cells: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """No root is differentiated: the slope goes to 0 in the middle of the spot."""
    slopes = Slopes(scene_of(cells, "round"))
    n = mpmath.mpf(cells)
    factor = n**2 * mpmath.mpf("0.723601254558268") ** 2

    def by_h(x: Any) -> Any:
        scale = mpmath.pi**2 * mpmath.mpf(0.8) * n**2
        return factor * sphere_slopes(scale * x * x)[1] * 2 * scale * x

    def by_n(x: Any) -> Any:
        scale = mpmath.pi**2 * mpmath.mpf(0.8) * n**2
        return 2 / n * factor * sphere_slopes(scale * x * x)[0]

    assert_slopes(slopes, exactly(by_h, slopes.x), exactly(by_n, slopes.x), SPHERE, monkeypatch)


@pytest.mark.parametrize("cells", [1.0, 1.5, 5.0, 12.37, 100.0])
def test_gaussian(cells: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """N^2 exp(-2 fudge N^2 x^2 / 0.63)."""
    slopes = Slopes(scene_of(cells, "gauss"))
    n = mpmath.mpf(cells)

    def peak(x: Any) -> Any:
        return n**2 * mpmath.exp(-width() * x * x)

    def width() -> Any:
        return 2 * mpmath.mpf(0.8) * n**2 / mpmath.mpf("0.63")

    by_h = exactly(lambda x: -2 * width() * x * peak(x), slopes.x)
    assert_slopes(slopes, by_h, exactly(lambda x: 2 / n * peak(x), slopes.x), GAUSSIAN, monkeypatch)


def test_tricubic(monkeypatch: pytest.MonkeyPatch) -> None:
    """F^2 through four planes, of one cell, whose lattice factor is 1."""
    rng = np.random.default_rng(2)
    values = np.zeros((9, 9, 9))
    values[:, 4, 4] = np.sqrt(1 / float(oracle.R_E_SQR)) * rng.uniform(0.5, 2, 9)
    places = PLACES[np.abs(PLACES) > 1e-13]
    scene = scene_of(
        1.0, "square", 0, places, values=values, origin=(-4, -4, -4), interpolation="tricubic_exact",
        reach=np.inf,
    )  # fmt: skip
    slopes = Slopes(scene)

    def slope(x: Any) -> Any:
        first = int(mpmath.floor(x)) - 1
        nodes = list(range(first, first + 4))
        total = derivative = mpmath.mpf(0)
        for node in nodes:
            a, b, c = (other for other in nodes if other != node)
            F = mpmath.mpf(float(values[node + 4, 4, 4])) * mpmath.sqrt(digits(oracle.R_E_SQR))
            below = (node - a) * (node - b) * (node - c)
            total += F * (x - a) * (x - b) * (x - c) / below
            derivative += F * ((x - a) * (x - b) + (x - a) * (x - c) + (x - b) * (x - c)) / below
        return 2 * total * derivative

    assert_slopes(slopes, exactly(slope, slopes.h), None, TRICUBIC, monkeypatch)
