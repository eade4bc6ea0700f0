"""The command ``nbragg``: tools around an image, one module for each.

Exit status: 0 done, 1 out of memory or the reader went away, 2 bad input or a file fault, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ... import __version__
from ..terminal import OK
from .choice import run_chosen

__all__ = ["TOOLS", "main"]

#: tool -> what it does, in one line; the module of the same name does it
TOOLS = {
    "hkl": "convert, expand to P1 and cut a list of structure factors",
    "orient": "write an orientation matrix from a cell and angles, or a random one",
    "show": "draw an image, with resolution rings and predicted spots",
    "detectors": "the library of detectors, and where its numbers come from",
    "info": "what an image file says and holds, or how this installation was built",
    "trace": "every intermediate value of one pixel",
    "spots": "where the spots of an image are, and how many photons each has",
    "truth": "what an image or a series holds, as files of DIALS, CrystFEL, XDS and CCP4",
    "background": "scattering of amorphous material alone, as nonBragg.c has it, or its table from an image",
    "refine": "parameters of a set-up from measured images",
    "information": "how well an exposure would determine parameters, before it is made",
    "dataset": "many labelled images of one recipe, made on any number of processes",
    "noise": "photon noise on an image that is already rendered",
}


def help_text() -> str:
    """Text of ``nbragg -h``."""
    lines = [
        "usage: nbragg TOOL ...",
        "       nbragg TOOL -h     explains a tool",
        "",
        "Tools around diffraction images; nanobragg renders them, nb-compare compares with nanoBragg.c.",
        "",
    ]
    lines += [f"  {name:<11} {text}" for name, text in TOOLS.items()]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; ``argv`` without the program's name.  Returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in ("-version", "--version"):
        sys.stdout.write(f"nbragg {__version__}\n")
        return OK
    return run_chosen("nbragg", "tool", TOOLS, words, help_text=help_text)
