"""What importing the package costs, and which names it gives."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time

import pytest

import nbragg
from nbragg.model.setup import RECORDS

HEAVY = (
    "gemmi",
    "h5py",
    "matplotlib",
    "fabio",
    "pandas",
    "dask",
    "cupy",
    "tqdm",
    "tifffile",
    "scipy",
    "yaml",
    "torch",
    "jax",
)
SMALL_IMAGE = """
import nbragg
setup = nbragg.from_cli("-cell 50 60 70 -default_F 9 -N 5 -detpixels 16")
list(nbragg.Simulator(setup).render_many(phi=[1.0, 2.0]))
nbragg.simulate(setup)
linear = nbragg.derivatives(setup, parameters=["crystal.orientation"])
linear.vjp(linear.image)
nbragg.torch, nbragg.jax
"""


def modules(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_import_loads_nothing_heavy() -> None:
    assert not modules("import nbragg") & {*HEAVY, "numpy"}


def test_help_needs_no_numpy() -> None:
    """Help answers at once, which an import of NumPy would not allow."""
    assert not modules("import nbragg.cli.options") & {*HEAVY, "numpy"}


def test_rendering_loads_nothing_heavy() -> None:
    assert not modules(SMALL_IMAGE) & set(HEAVY)


def test_import_is_quick() -> None:
    """Below 0.15 s beyond Python's own start; the best of five, for the machine may be busy."""

    def seconds(code: str) -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
        return time.perf_counter() - start

    assert min(seconds("import nbragg") for _ in range(5)) - min(seconds("pass") for _ in range(5)) < 0.15


def test_every_public_name_exists_and_is_documented() -> None:
    for name in nbragg.__all__:
        value = getattr(nbragg, name)
        if name != "__version__":
            assert value.__doc__, name
    assert {
        "Simulator",
        "simulate_batch",
        "random_orientations",
        "from_cli",
        "to_cli",
        "Setup",
        "load",
        "dump",
    } < set(dir(nbragg))


@pytest.mark.parametrize("name", sorted(nbragg._EXPORTS))
def test_names_do_not_hide_modules(name: str) -> None:
    """A module of a public name would take its place once imported."""
    done = subprocess.run([sys.executable, "-c", f"import nbragg.{name}"], capture_output=True, timeout=60)
    assert done.returncode != 0


def test_field_names_belong_to_one_record() -> None:
    """Simulator.replace finds the record by the field's name."""
    names = [field.name for kind in RECORDS.values() for field in dataclasses.fields(kind)]
    assert len(names) == len(set(names))
    assert not set(names) & {*RECORDS, "physics"}
