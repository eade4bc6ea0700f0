"""diffBragg's derivatives, stated from its equations, against ours where both models are the same.

Mendez et al. (2020), IUCrJ 7, 1151, and the conventions of simtbx's diffBragg: Gaussian spots,

    I = r_e^2 fluence / n  pol omega  sum over sources, domains of F(h0)^2 V^2 exp(-2 C/2 |N (h - h0)|^2),

with C = 2 fudge/0.63, N = diag(Na, Nb, Nc), V = Na Nb Nc, h = (U_m R_x R_y R_z U B)^T q, nearest look-up,
solid angle and polarization of the pixel's centre.  That is shape "gauss" in exact physics, one sub-pixel.

Left out, because definitions differ: rotations of a panel (diffBragg holds the normal in the solid angle) and
polarization in the derivative by distance (held there; no polarization here).  Angles of the cell are
compared after a rotation: there a is held along x and b in the xy plane, here a* and b* are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from gradient_parts import gradient, jacobian

import nbragg
from nbragg import Beam, Crystal, Detector, Sampling, StructureFactors
from nbragg.scene.parameters import expand, tangents

pytestmark = pytest.mark.filterwarnings("ignore::nbragg.base.errors.NbraggWarning")

Array = npt.NDArray[Any]

CELL = (40.3, 52.7, 61.9, 83.0, 97.0, 104.0)
N = np.array([7.0, 5.0, 6.0])
FUDGE = 0.9
SPREAD = 0.6  # deg
KAHN = 0.8
DEGREE = np.pi / 180
R_E_SQUARED = 7.94079248018965e-30  # m^2
TOLERANCE = 1e-10  # of the largest; the definitions are the same to the last bit but for rounding


def setup(**beam: Any) -> nbragg.Setup:
    """Two wavelengths, four domains, a flat detector across the beam, spots on most of it."""
    rng = np.random.default_rng(8)
    factors = StructureFactors(values=rng.uniform(50, 100, (61, 61, 61)), origin=(-30, -30, -30))
    crystal = Crystal(
        cell=CELL, N=tuple(int(n) for n in N), shape="gauss", fudge=FUDGE, misset_deg=(12.0, -35.0, 71.0),
        mosaic_spread_deg=SPREAD, mosaic_domains=4, mosaic="angle", structure_factors=factors,
    )  # fmt: skip
    detector = Detector(distance_mm=80.0, pixel_mm=0.5, fpixels=90, spixels=80, Xbeam_mm=19.7, Ybeam_mm=22.3)
    return nbragg.Setup(
        crystal,
        Beam(wavelength_A=1.3, dispersion_pct=2.0, dispersion_steps=2, fluence=1e28, **beam),
        detector,
        Sampling(oversample=1),
        physics="exact",
    )


class Model:
    """diffBragg's model of a Scene, pixels on the last axis but one.

    Attributes
    ----------
    terms : (sources, domains, slow, fast)
        What each source and domain adds to the image.
    H, x : (sources, domains, slow, fast, 3)
        Fractional indices, and their distances from the nearest reflection.
    q : (sources, slow, fast, 3)
        1/m.
    cells : (domains, 3, 3)
        Rows a, b, c, m.
    """

    def __init__(self, scene: nbragg.Scene) -> None:
        panel = scene.panel
        fast, slow = np.meshgrid(np.arange(panel.fpixels) + 0.5, np.arange(panel.spixels) + 0.5)
        self.place = (
            panel.pix0
            + (fast * panel.pixel[0])[..., None] * panel.fdet
            + (slow * panel.pixel[1])[..., None] * panel.sdet
        )
        self.path = np.sqrt((self.place**2).sum(axis=-1))
        self.normal, self.area = panel.odet, panel.pixel[0] * panel.pixel[1]
        self.direction = self.place / self.path[..., None]
        self.beam = scene.sources.incident[0]
        self.wavelength = scene.sources.wavelength
        self.q = (self.direction - self.beam) / self.wavelength[:, None, None, None]
        self.cells = scene.crystal.orientations
        self.H = np.einsum("mrk,sijk->smijr", self.cells, self.q)
        self.nearest = np.ceil(self.H - 0.5)
        self.x = self.H - self.nearest
        assert scene.table.values is not None
        index = (self.nearest - np.array(scene.table.origin)).astype(int)
        self.F = scene.table.values[tuple(np.moveaxis(index, -1, 0))]
        self.C = 2 / 0.63 * FUDGE
        latt2 = N.prod() ** 2 * np.exp(-2 * self.C / 2 * ((N * self.x) ** 2).sum(axis=-1))
        omega = self.area * (self.place @ self.normal) / self.path**3
        scale = R_E_SQUARED * scene.fluence / (len(self.wavelength) * len(self.cells))
        self.terms = scale * omega * self._polarization(scene) * self.F**2 * latt2

    def _polarization(self, scene: nbragg.Scene) -> Any:
        if scene.nopolar:
            return 1.0
        across = np.cross(scene.polar_vector, self.beam)
        along = np.cross(self.beam, across)
        psi = -np.arctan2(self.direction @ across, self.direction @ along)
        c2 = (self.direction @ self.beam) ** 2
        return 0.5 * (1 + c2 - KAHN * np.cos(2 * psi) * (1 - c2))

    def image(self) -> Array:
        return np.asarray(self.terms.sum(axis=(0, 1)))

    def by_cells(self, rates: Array) -> Array:
        """Derivative as rows a, b, c of each domain move by rates (domains, 3, 3)."""
        return self.by_index(np.einsum("mrk,sijk->smijr", rates, self.q))

    def by_index(self, rates: Array) -> Array:
        """Derivative as h, k, l move: -2 C (N x).(N h') of each term."""
        change = ((N * self.x) * (N * rates)).sum(axis=-1)
        return np.asarray((-2 * self.C * change * self.terms).sum(axis=(0, 1)))

    def by_number(self, axis: int) -> Array:
        """2 I (1/N - C x N x), of each axis."""
        change = 1 / N[axis] - self.C * self.x[..., axis] * N[axis] * self.x[..., axis]
        return np.asarray((2 * change * self.terms).sum(axis=(0, 1)))

    def by_wavelength(self, rates: Array) -> Array:
        """2 C (N h).(N x) / lambda, as each source's wavelength moves by rates (sources,), m."""
        relative = (rates / self.wavelength)[:, None, None, None]
        along = ((N * self.H) * (N * self.x)).sum(axis=-1)
        return np.asarray((2 * self.C * along * relative * self.terms).sum(axis=(0, 1)))

    def by_amplitude(self, hkl: tuple[int, int, int]) -> Array:
        """2 I / F of the terms that look this reflection up."""
        here = (self.nearest == hkl).all(axis=-1)
        return np.asarray((2 * self.terms / self.F * here).sum(axis=(0, 1)))

    def by_place(self, rate: Array) -> Array:
        """The panel moves by rate (3,), m: spots and solid angle, polarization held."""
        k3, k5 = self.path**-3, self.path**-5
        G = self.place @ self.normal
        omega = self.area * G * k3
        omega_rate = self.area * ((rate @ self.normal) * k3 - 3 * (self.place @ rate) * k5 * G)
        along = (rate - self.direction * (self.direction @ rate)[..., None]) / self.path[..., None]
        moved = np.einsum("mrk,sijk->smijr", self.cells, along / self.wavelength[:, None, None, None])
        return np.asarray(self.by_index(moved) + self.image() * omega_rate / omega)


def ours(case: nbragg.Setup, names: list[str]) -> tuple[Array, Array]:
    """Image and derivative images by name, photons per unit."""
    parameters = expand(names, case)
    assert [parameter.name for parameter in parameters] == names
    rows, frames = tangents(case, parameters)
    found = gradient(nbragg.build_scene(case), rows, frames)
    return found.image, np.asarray(jacobian(found, len(names)))


def assert_same(found: Array, stated: Array) -> None:
    assert np.abs(stated).max() > 0
    assert np.abs(found - stated).max() <= TOLERANCE * np.abs(stated).max()


@pytest.fixture(scope="module")
def case() -> nbragg.Setup:
    return setup(polarization=KAHN)


@pytest.fixture(scope="module")
def model(case: nbragg.Setup) -> Model:
    return Model(nbragg.build_scene(case))


def cross(tau: Any, rows: Array) -> Array:
    return np.cross(np.broadcast_to(tau, (*rows.shape[:-2], 1, 3)), rows)


def test_the_image(case: nbragg.Setup, model: Model) -> None:
    """Both models are the same."""
    image, _ = ours(case, ["beam.fluence"])
    assert_same(image, model.image())


def domain_turns(cells: Array) -> Array:
    """Matrices that take the first domain, which is not turned, to each: rows' columns of U_m."""
    return np.stack([np.linalg.solve(cells[0], rows).T for rows in cells])


def test_rotations(case: nbragg.Setup, model: Model) -> None:
    """R_x, R_y, R_z, between the mosaic rotation and U B, at angle 0."""
    _, found = ours(case, [f"crystal.rotation_deg[{k}]" for k in range(3)])
    for k in range(3):
        turned = cross(np.eye(3)[k], model.cells[0])
        rates = np.stack([turned @ U.T for U in domain_turns(model.cells)])
        assert_same(found[k], DEGREE * model.by_cells(rates))


def direct_upright(cell: Any) -> Array:
    """Rows a, b, c, angstrom, a along x and b in the xy plane."""
    a, b, c, *angles = cell
    ca, cb, cg = (np.cos(angle * DEGREE) for angle in angles)
    sg = np.sin(angles[2] * DEGREE)
    y = (ca - cb * cg) / sg
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cb, c * y, c * np.sqrt(1 - cb**2 - y**2)]])


def reciprocal_upright(cell: Any) -> Array:
    """Rows a, b, c, angstrom, with a* along x and b* in the xy plane."""
    A = direct_upright(cell)
    metric = np.linalg.inv(A @ A.T)  # of a*, b*, c*
    L = np.zeros((3, 3), metric.dtype)
    for i in range(3):  # Cholesky, which holds for complex numbers too
        for j in range(i + 1):
            rest = metric[i, j] - sum(L[i, k] * L[j, k] for k in range(j))
            L[i, j] = np.sqrt(rest) if i == j else rest / L[j, j]
    return np.asarray(np.linalg.inv(L).T)


def by_cell(make: Callable[[Any], Array], i: int) -> Array:
    """Derivative of a cell's rows by its i-th parameter."""
    moved = np.array(CELL, complex)
    moved[i] += 1e-60j
    return np.asarray(make(moved).imag / 1e-60)


@pytest.mark.parametrize("i", range(6))
def test_the_cell(i: int, case: nbragg.Setup, model: Model) -> None:
    """dB of each cell parameter; of the angles after the rotation between the two settings."""
    name = f"crystal.cell.{('a', 'b', 'c', 'alpha', 'beta', 'gamma')[i]}"
    _, found = ours(case, [name, *(f"crystal.rotation_deg[{k}]" for k in range(3))])
    B, cell = direct_upright(CELL), model.cells[0] * 1e10
    U = np.linalg.solve(B, cell).T
    assert np.abs(U @ U.T - np.eye(3)).max() < 1e-12
    rate = by_cell(direct_upright, i) @ U.T * 1e-10
    rates = np.stack([rate @ turn.T for turn in domain_turns(model.cells)])
    # ours less theirs is tau x row, in the setting where a* is along x
    A = reciprocal_upright(CELL)
    V = np.linalg.solve(A, cell).T
    difference = by_cell(reciprocal_upright, i) @ V.T - rate * 1e10
    W = np.linalg.solve(cell, difference).T  # a row moves by W @ row
    assert np.abs(W + W.T).max() < 1e-12
    tau = np.array([W[2, 1], W[0, 2], W[1, 0]]) / DEGREE
    assert (np.abs(tau).max() > 1e-3) == (i >= 3)
    assert_same(found[0] - np.tensordot(tau, found[1:], 1), model.by_cells(rates))


def test_numbers_of_cells(case: nbragg.Setup, model: Model) -> None:
    """The metric follows N here as it does there."""
    _, found = ours(case, [f"crystal.N[{r}]" for r in range(3)])
    for r in range(3):
        assert_same(found[r], model.by_number(r))


def test_wavelengths(case: nbragg.Setup, model: Model) -> None:
    """lambda0 moves all wavelengths alike, lambda1 in proportion; ours, the grid's, in proportion."""
    names = [f"scene.source_wavelength[{s}]" for s in range(2)]
    _, found = ours(case, [*names, "beam.wavelength_A"])
    assert_same(found[0] + found[1], model.by_wavelength(np.ones(2)))
    assert_same(found[2], model.by_wavelength(model.wavelength / 1.3))


def test_structure_factors(case: nbragg.Setup, model: Model) -> None:
    """2 I/F of the reflections that the detector sees, by intensity the first three."""
    total: dict[tuple[int, int, int], float] = {}
    whole = model.nearest[0, 0].reshape(-1, 3).astype(int)
    for h, k, l in np.unique(whole, axis=0):  # noqa: E741
        index = (int(h), int(k), int(l))
        total[index] = float(model.by_amplitude(index).sum())
    bright = sorted(total, key=lambda index: -total[index])[:3]
    _, found = ours(case, ["crystal.structure_factors[{},{},{}]".format(*index) for index in bright])
    for index, row in zip(bright, found, strict=True):
        assert_same(row, model.by_amplitude(index))


def test_place_of_the_panel() -> None:
    """Along the beam by distance, and along all axes by a shift."""
    case = setup(nopolar=True)
    model = Model(nbragg.build_scene(case))
    names = ["detector.distance_mm", *(f"detector.shift_mm[{k}]" for k in range(3))]
    _, found = ours(case, names)
    for row, rate in zip(found, [model.beam, *np.eye(3)], strict=True):
        assert_same(row, 1e-3 * model.by_place(rate))


def test_mosaic_spread(case: nbragg.Setup, model: Model) -> None:
    """eta: each domain's axis and its part of the spread are held."""
    rates = []
    for U in domain_turns(model.cells):
        W = (U - U.T) / 2
        sine_axis = np.array([W[2, 1], W[0, 2], W[1, 0]])
        sine = np.sqrt(sine_axis @ sine_axis)
        angle = np.arctan2(sine, (np.trace(U) - 1) / 2)
        vector = sine_axis * (angle / sine if sine > 0 else 1)
        rates.append(cross(vector / SPREAD, model.cells[0] @ U.T))
    _, found = ours(case, ["crystal.mosaic_spread_deg"])
    assert_same(found[0], model.by_cells(np.stack(rates)))


def test_scale(case: nbragg.Setup, model: Model) -> None:
    """Linear in the fluence."""
    _, found = ours(case, ["beam.fluence"])
    assert_same(found[0], model.image() / 1e28)
