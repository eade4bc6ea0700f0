"""The orientation of a crystal found from one still: by Gauss-Newton, and by Adam where PyTorch is there."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import nbragg
from nbragg import datasets

folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
BACKGROUND = 1.0  # photons per pixel
ORIENTATION = ["crystal.orientation"]

crystal = nbragg.Crystal(
    cell=datasets.LYSOZYME_CELL,
    N=(10, 10, 20),
    misset_deg=(20, 40, 10),
    structure_factors=datasets.lysozyme(2.0),
)
start = nbragg.Simulator(
    nbragg.Setup(
        crystal,
        nbragg.Beam(wavelength_A=1.0, fluence=1e27),
        nbragg.Detector(distance_mm=120, pixel_mm=0.2, fpixels=512, spixels=512),
        nbragg.Sampling(oversample=4),
    )
)

# What was measured: the crystal stands 0.22 degree from where it is thought to be; counts.
truth = np.array([0.15, -0.1, 0.12])
photons = start.moved(ORIENTATION, truth).render().image + BACKGROUND
counts = np.random.default_rng(1).poisson(photons).astype(float)


Vector = NDArray[np.float64]


def refine(passes: int = 6) -> tuple[Vector, Vector, list[Vector]]:
    """Gauss-Newton on the likelihood of the counts: values, their standard deviations, the way there."""
    simulator, way = start, []
    for _ in range(passes):
        linear = simulator.linearize(ORIENTATION)
        model = linear.image + BACKGROUND
        normal = linear.gauss_newton(counts - model, 1 / model)
        way.append(linear.values)
        simulator = simulator.moved(linear.parameters, linear.values + np.linalg.solve(normal.H, normal.b))
    return simulator.linearize(ORIENTATION).values, np.sqrt(np.diag(np.linalg.inv(normal.H))), way


best, sigma, way = refine()
print(
    "found   ", *(f"{value:8.5f} +- {error:.5f}" for value, error in zip(best, sigma, strict=True)), "degrees"
)
print("in truth", *(f"{value:8.5f}           " for value in truth))

residual = counts - start.moved(ORIENTATION, best).render().image - BACKGROUND
print(f"chi square of a pixel: {(residual**2 / photons).mean():.3f}")
np.save(folder / "orientation_residual.npy", residual.astype(np.float32))


def adam(rate: float, steps: int) -> Vector:
    """The same by Adam, on the same likelihood: distance from the best after each step."""
    import torch

    import nbragg.torch

    data = torch.from_numpy(counts)
    turn = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([turn], lr=rate)
    way = []
    for _ in range(steps):
        way.append(np.abs(turn.detach().numpy() - best).max())
        optimizer.zero_grad()
        model = nbragg.torch.image(start, {"crystal.rotation_deg": turn}) + BACKGROUND
        (model - data * torch.log(model)).sum().backward()
        optimizer.step()
    return np.array(way)


def steps_to(limit: float, away: Vector) -> str:
    """After how many steps the distance stays below a limit."""
    steps = int(np.flatnonzero(away >= limit).max()) + 1
    return f"{steps} steps" if steps < len(away) else f"more than {steps - 1} steps"


distances = {"Gauss-Newton": np.array([np.abs(values - best).max() for values in way])}
if importlib.util.find_spec("torch"):
    distances["Adam"] = adam(rate=0.02, steps=250)
for name, away in distances.items():
    print(f"{name}: one standard deviation in {steps_to(sigma.max(), away)}, 1e-6 degree in", end=" ")
    print(steps_to(1e-6, away))
