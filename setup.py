"""Build of nbragg._engine: the loops over pixels are compiled once per instruction set.

Environment: NBRAGG_SANITIZE=1 adds the address and undefined-behaviour sanitizers, NBRAGG_NO_OPENMP=1 builds
single-threaded, NBRAGG_CFLAGS appends flags.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

# Floating-point flags, one by one (never -ffast-math: NaN means "not finite" in the engine's own check):
#   -ffp-contract=fast   a*b+c may become one FMA; the tests bound the difference between instruction sets
#   -fno-math-errno      nothing reads errno; lets sqrt become one instruction
#   -fno-trapping-math   no floating-point traps are enabled; lets branches become selects
ARITHMETIC = ["-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
# Random numbers and what is made of them are the same to the bit on all processors:
#   -ffp-contract=off    a*b+c is rounded twice everywhere
EXACT = ["-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"]
X86_LEVELS = {
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}
COMMON = ["-O3", "-std=gnu11", "-Wall", "-Wno-unknown-pragmas", "-fvisibility=hidden"]


def compiles(compiler: list[str], flags: list[str], source: str, link: bool = False) -> bool:
    """Whether the C compiler takes these flags for this program."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "try.c")
        path.write_text(source)
        command = [
            *compiler,
            *flags,
            str(path),
            "-o",
            str(Path(folder, "try.out")),
            *([] if link else ["-c"]),
        ]
        try:
            return subprocess.run(command, capture_output=True).returncode == 0
        except OSError:
            return False


def up_to_date(made: Path) -> bool:
    """Whether an object file is newer than all that it was made from, by the rule beside it (-MMD)."""
    rule = made.with_suffix(".d")
    if not (made.exists() and rule.exists()):
        return False
    sources = rule.read_text().split(":", 1)[1].replace("\\\n", " ").split()
    return all(os.path.exists(path) and os.path.getmtime(path) <= made.stat().st_mtime for path in sources)


class BuildEngine(build_ext):
    """Compiles every source with the flags of its kind."""

    def build_extension(self, ext: Extension) -> None:
        compiler = list(self.compiler.compiler_so)
        compiler = [word for word in compiler if word not in ("-fPIC", "-c")]
        openmp: list[str] = []
        if not os.environ.get("NBRAGG_NO_OPENMP"):
            if compiles(
                compiler,
                ["-fopenmp"],
                "#include <omp.h>\nint main(void){return omp_get_max_threads()<1;}",
                link=True,
            ):
                openmp = ["-fopenmp"]
            else:
                print(
                    "warning: this compiler has no OpenMP: building a single-threaded engine "
                    "(with clang, install its OpenMP runtime, e.g. the package libomp-dev)",
                    file=sys.stderr,
                )
        extra = shlex.split(os.environ.get("NBRAGG_CFLAGS", ""))
        sanitize: list[str] = []
        if os.environ.get("NBRAGG_SANITIZE"):
            sanitize = [
                "-fsanitize=address,undefined",
                "-fno-sanitize-recover=undefined",
                "-fno-omit-frame-pointer",
                "-g",
                "-O1",
            ]
        levels = {}
        if platform.machine().lower() in ("x86_64", "amd64"):
            levels = {
                name: flags
                for name, flags in X86_LEVELS.items()
                if compiles(compiler, flags, "int main(void){return 0;}")
            }

        def build(source: str, flags: list[str], macros: list[tuple[str, str]], tag: str = "") -> list[str]:
            folder = os.path.join(self.build_temp, tag) if tag else self.build_temp
            every = [*COMMON, *flags, *openmp, *extra, *sanitize]
            [made] = self.compiler.object_filenames([source], output_dir=folder)
            stamp = Path(f"{made}.flags")
            command = repr((compiler, every, macros))
            if not (stamp.exists() and stamp.read_text() == command and up_to_date(Path(made))):
                self.compiler.compile(
                    [source],
                    output_dir=folder,
                    macros=macros,
                    include_dirs=["csrc"],
                    extra_postargs=[*every, "-MMD"],
                )
                stamp.write_text(command)
            return [made]

        have = [(f"NB_HAVE_{name.upper()}", "1") for name in levels]
        kept = " ".join([*COMMON, *ARITHMETIC, *openmp, *extra, *sanitize])
        work: list[tuple[str, list[str], list[tuple[str, str]], str]] = [
            (f"csrc/nb_{source}.c", [*rounding, *flags], [("NB_ISA", name)], name)
            for source, rounding in (  # the longest first
                ("gradient", ARITHMETIC),
                ("image", ARITHMETIC),
                ("backdrop", ARITHMETIC),
                ("diffuse", ARITHMETIC),
                ("response", EXACT),
                ("trace", ARITHMETIC),
            )
            for name, flags in {"baseline": [], **levels}.items()
        ]
        work.append(("csrc/nb_dispatch.c", [], [*have, ("NB_FLAGS", f'"{kept}"')], ""))
        alike = ("most", "probe", "reach", "spots", "transmission")
        work += [(f"csrc/nb_{source}.c", ARITHMETIC, [], "") for source in alike]
        # complex products and quotients by their formulas, without a search for NaN
        quick = ["-fcx-fortran-rules"]
        plain = quick if compiles(compiler, ["-Werror", *quick], "int main(void){return 0;}") else []
        work += [
            (f"csrc/nb_{source}_slope.c", [*ARITHMETIC, *plain], [], "") for source in ("backdrop", "diffuse")
        ]
        work += [("csrc/nb_exact.c", EXACT, [], ""), ("csrc/nb_random.c", ["-ffp-contract=off"], [], "")]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            objects = [name for made in pool.map(lambda job: build(*job), work) for name in made]
        ext.extra_objects = objects
        ext.depends = [*ext.depends, *objects]  # what was compiled again is linked again
        ext.extra_compile_args = [*COMMON, "-Wno-unused-function", *openmp, *sanitize]
        ext.extra_link_args = [*openmp, *sanitize]
        super().build_extension(ext)


class AddKernels(build_py):
    """Puts the CUDA source into the package, where it is compiled on the user's machine."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return  # nbragg/engine/cuda_kernel.py finds csrc beside the package
        target = Path(self.build_lib, "nbragg", "csrc")
        target.mkdir(parents=True, exist_ok=True)
        for path in [*Path("csrc").glob("*.cu"), *Path("csrc").glob("*.h")]:
            if path.name != "nb_host_shim.h":  # of the tests
                shutil.copy(path, target)


setup(
    ext_modules=cythonize(
        [
            Extension(
                "nbragg._engine",
                ["nbragg/_engine.pyx"],
                include_dirs=["csrc"],
                depends=sorted(str(path) for path in Path("csrc").glob("*.[ch]")),
                libraries=["m"],
            )
        ],
        language_level=3,
    ),
    cmdclass={"build_ext": BuildEngine, "build_py": AddKernels},
)
