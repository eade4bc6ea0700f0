"""The CUDA source becomes machine code for every GPU it is meant for, within registers."""

from __future__ import annotations

import nvrtc
import pytest

from nbragg._engine import POINT, SHAPES
from nbragg.engine.cuda_kernel import (
    CONSTANT,
    FINISH,
    INDEX_DOUBLE,
    INDEX_FIXED,
    INDEX_PAIRS,
    NEAREST,
    TRICUBIC,
    Specialisation,
    every,
    source,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        nvrtc.find() is None, reason="needs NVIDIA's run-time compiler: pip install nvidia-cuda-nvrtc-cu12"
    ),
]

# compute capability times ten: V100, A100, H100 and H200, B200, GeForce 50
ARCHITECTURES = (70, 80, 90, 100, 120)
SQUARE = SHAPES["square"]
COMMON = [
    FINISH,
    Specialisation(SQUARE, CONSTANT, single=True, index=INDEX_FIXED, curved=False),
    Specialisation(SQUARE, NEAREST, single=True, index=INDEX_PAIRS, curved=False),
    Specialisation(SQUARE, NEAREST, single=False, index=INDEX_DOUBLE, curved=False),
    Specialisation(POINT, TRICUBIC, single=True, index=INDEX_FIXED, curved=False),
    Specialisation(SHAPES["gauss"], TRICUBIC, single=False, index=INDEX_DOUBLE, curved=True),
]
#: registers of a thread that let a multiprocessor hold 16 warps
MOST_REGISTERS = 128


def report(spec: Specialisation, architecture: int, kernels: list[nvrtc.Kernel]) -> str:
    """One line, shown by pytest -rP."""
    what = ", ".join(f"{k.name} {k.registers} registers {k.spilled} spilled" for k in kernels)
    return f"sm_{architecture} {spec.macros}: {what}"


def compile_and_check(jobs: list[tuple[int, Specialisation]]) -> None:
    done = nvrtc.compile_many(source(), [(architecture, spec.options) for architecture, spec in jobs])
    lines, spilling = [], []
    for (architecture, spec), kernels in zip(jobs, done, strict=True):
        names = {"nb_render"} | ({"nb_search"} if spec.table == TRICUBIC else set())
        if spec.finish:
            names = {"nb_finish", "nb_summarise"}
        assert {kernel.name for kernel in kernels} == names
        lines.append(report(spec, architecture, kernels))
        if any(kernel.spilled or kernel.stack for kernel in kernels):
            spilling.append(lines[-1])
        if spec.table != TRICUBIC and not spec.curved:
            assert all(kernel.registers <= MOST_REGISTERS for kernel in kernels), lines[-1]
    print("\n".join(lines))
    assert not spilling


@pytest.mark.parametrize("architecture", [70, 90])
def test_every_specialisation(architecture: int) -> None:
    """No kernel needs local memory, on the first cards and on those with most doubles."""
    compile_and_check([(architecture, spec) for spec in every()])


def test_every_gpu() -> None:
    """The common cases and the one with most registers."""
    compile_and_check([(architecture, spec) for architecture in ARCHITECTURES for spec in COMMON])


def test_errors_name_the_file_and_line() -> None:
    """A compiler's message points into csrc although one text is compiled."""
    broken = source().replace("nb_sinpi)(NB_REAL x)\n{", "nb_sinpi)(NB_REAL x)\n{ nonsense;", 1)
    with pytest.raises(RuntimeError, match=r"nb_math.h\(\d+\): error"):
        nvrtc.compile_source(broken, 90, COMMON[0].options)
