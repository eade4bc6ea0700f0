"""The CUDA source becomes machine code for every GPU it is meant for, within registers."""

from __future__ import annotations

import dataclasses

import nvrtc
import pytest

from nbragg._engine import FACTOR_SOURCES, POINT, SHAPES, SPECTRA
from nbragg.engine.cuda_kernel import (
    BACKDROP,
    CONSTANT,
    DIFFUSE,
    FINISH,
    INDEX_DOUBLE,
    INDEX_FIXED,
    INDEX_PAIRS,
    NEAREST,
    RESPONSE,
    TRICUBIC,
    GradientSpecialisation,
    Specialisation,
    every,
    every_gradient,
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
    Specialisation(SHAPES["gauss"], NEAREST, single=True, index=INDEX_FIXED, curved=False, sparse=True),
    Specialisation(SQUARE, NEAREST, single=True, index=INDEX_PAIRS, curved=False, sparse=True),
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
        if spec.sparse:
            names = {"nb_render_sparse"}
        assert {kernel.name for kernel in kernels} == names
        lines.append(report(spec, architecture, kernels))
        if any(kernel.spilled or kernel.stack for kernel in kernels):
            spilling.append(lines[-1])
        if spec.table != TRICUBIC and not spec.curved and not spec.spectral and not spec.sparse:
            assert all(kernel.registers <= MOST_REGISTERS for kernel in kernels), lines[-1]
    print("\n".join(lines))
    assert not spilling


@pytest.mark.parametrize("architecture", [70, 90])
def test_every_specialisation(architecture: int) -> None:
    """No kernel needs local memory, on the first cards and on those with most doubles."""
    compile_and_check([(architecture, spec) for spec in every() if not spec.sparse])


@pytest.mark.parametrize(("architecture", "turn"), [(70, 0), (90, 1)])
def test_every_other_that_leaves_samples_out(architecture: int, turn: int) -> None:
    """Each on one of them: all of these kernels may take as many registers as there are."""
    compile_and_check([(architecture, spec) for spec in [one for one in every() if one.sparse][turn::2]])


def test_every_gpu() -> None:
    """The common cases and the one with most registers."""
    compile_and_check([(architecture, spec) for architecture in ARCHITECTURES for spec in COMMON])


GRADIENT_KERNELS = {
    "nb_prepare", "nb_differentiate", "nb_fold", "nb_weigh", "nb_choose_unit", "nb_by_orientation",
    "nb_settle",
}  # fmt: skip


def compile_gradients(jobs: list[tuple[int, GradientSpecialisation]]) -> None:
    """All kernels are there, and only nb_differentiate has more numbers at a time than registers.

    That one in double, and where it interpolates: its sums alone take 40 registers beside the slopes.
    """
    text = source(GradientSpecialisation.file)
    done = nvrtc.compile_many(text, [(architecture, spec.options) for architecture, spec in jobs])
    for (architecture, spec), kernels in zip(jobs, done, strict=True):
        line = f"sm_{architecture} {spec.macros}: " + ", ".join(
            f"{k.name} {k.registers} registers {k.spilled} spilled" for k in kernels
        )
        print(line)
        assert {kernel.name for kernel in kernels} == GRADIENT_KERNELS, line
        tricubic = spec.kinds >> FACTOR_SOURCES["tricubic"] & 0b1001001001
        registers = spec.single and not tricubic
        assert not any(k.spilled for k in kernels if registers or k.name != "nb_differentiate"), line


def test_gradients() -> None:
    """Derivatives of every shape and source of structure factors, in both precisions, with rows of entries.

    One specialisation has the code of one shape and source, and shares nothing else with another; a compiler
    takes seconds for each, so that not all pairs are tried.
    """
    pairs = [
        ("square", "constant", True, False), ("square", "nearest", False, True),
        ("round", "tricubic", True, True), ("round", "constant", False, False),
        ("gauss", "nearest", True, False), ("tophat", "tricubic", False, False),
    ]  # fmt: skip
    wanted = {
        GradientSpecialisation(1 << (len(FACTOR_SOURCES) * SHAPES[shape] + FACTOR_SOURCES[kind]), *rest)
        for shape, kind, *rest in pairs
    }
    assert wanted < set(every_gradient())
    compile_gradients([(90, spec) for spec in wanted])


def test_gradients_on_every_gpu() -> None:
    """Block crystals with a list, in the precision of a GPU."""
    nearest = 1 << FACTOR_SOURCES["nearest"]
    kinds = [spec for spec in every_gradient() if spec.kinds == nearest and spec.single and not spec.entries]
    assert len(kinds) == 1
    compile_gradients([(architecture, spec) for architecture in ARCHITECTURES for spec in kinds])


def test_detector() -> None:
    """The chain of a detector, without local memory."""
    jobs = [(architecture, RESPONSE.options) for architecture in (70, 90)]
    for (architecture, _), kernels in zip(jobs, nvrtc.compile_many(source(RESPONSE.file), jobs), strict=True):
        print(f"sm_{architecture}: {kernels}")
        assert [kernel.name for kernel in kernels] == ["nb_respond_pixels"]
        assert all(kernel.registers <= MOST_REGISTERS and not kernel.spilled for kernel in kernels)


def test_errors_name_the_file_and_line() -> None:
    """A compiler's message points into csrc although one text is compiled."""
    broken = source().replace("nb_sinpi)(NB_REAL x)\n{", "nb_sinpi)(NB_REAL x)\n{ nonsense;", 1)
    with pytest.raises(RuntimeError, match=r"nb_math.h\(\d+\): error"):
        nvrtc.compile_source(broken, 90, COMMON[0].options)


def test_diffuse() -> None:
    """Diffuse scattering, and spots of displaced atoms: local memory holds the shares of the orders alone."""
    jobs = [(architecture, DIFFUSE.options) for architecture in (70, 90)]
    for kernels in nvrtc.compile_many(source(DIFFUSE.file), jobs):
        print(kernels)
        assert {kernel.name for kernel in kernels} == {"nb_diffuse_light"}
    compile_and_check([(90, dataclasses.replace(spec, displaced=True)) for spec in COMMON])


def test_captures_of_each_source() -> None:
    """They take registers, and no local memory."""
    spectra = [
        Specialisation(SHAPES["gauss"], NEAREST, single, INDEX_DOUBLE, True, SPECTRA[rendering])
        for rendering in ("line", "culled")
        for single in (False, True)
    ]
    compile_and_check([(90, dataclasses.replace(spec, each_mu=True)) for spec in COMMON[1:] + spectra])
    nearest = GradientSpecialisation(1 << FACTOR_SOURCES["nearest"], single=True, entries=True, each_mu=True)
    compile_gradients([(90, nearest)])


def test_backdrop() -> None:
    """The images behind the spots, without local memory."""
    jobs = [(architecture, BACKDROP.options) for architecture in ARCHITECTURES]
    for architecture, kernels in zip(
        ARCHITECTURES, nvrtc.compile_many(source(BACKDROP.file), jobs), strict=True
    ):
        assert {kernel.name for kernel in kernels} == {"nb_behind"}
        print(f"sm_{architecture}: {kernels[0]}")
        assert not kernels[0].spilled and not kernels[0].stack
