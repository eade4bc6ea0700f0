"""Run what a page of these documents shows: its ``python`` and ``console`` blocks, in order, in one folder.

``python docs/page_runner.py PAGE FOLDER`` runs one page.

- All ``python`` blocks of a page share their variables.
- A ``console`` block holds commands after ``$ `` with their output below them.
- A ``text`` block right after a ``python`` block is what that prints, with the error that ends it, if any.
- Shown output must agree; ``...`` stands for anything, and white space does not count.
- Files that the page offers for download lie in the folder.
- A line ``% run with: 10 for 1000`` has the second text replaced by the first in all code, for a quick test.
- A page with a line ``% needs torch`` is not run where that package, an extra of this one, is not installed.

Other blocks (``sh``, ``yaml`` ...) are not run.
"""

from __future__ import annotations

import contextlib
import doctest
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Block", "PageError", "blocks", "missing", "run"]

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_DOWNLOAD = re.compile(r"\{download\}`[^`<]*<([^>`]+)>`")
_INSTEAD = re.compile(r"^% run with: (.+) for (.+)$", re.MULTILINE)
_NEEDS = re.compile(r"^% needs (\w+)$", re.MULTILINE)
_COMMANDS = {"nanobragg": "nbragg", "nbragg": "nbragg.cli.tools", "nb-compare": "nbragg.cli.compare"}
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class PageError(Exception):
    """A block that fails, or does not print what the page shows."""


class Block(NamedTuple):
    """One block of code: its language, the line it starts in, and the output shown (None: not shown)."""

    language: str
    line: int
    code: str
    shown: str | None


def blocks(text: str) -> list[Block]:
    """The blocks of a page that are run."""
    found: list[Block] = []
    end = 0
    for match in _FENCE.finditer(text):
        language, code = match.group(1), match.group(2)
        line = text.count("\n", 0, match.start(2)) + 1
        follows = not text[end : match.start()].strip()
        if language == "text" and found and follows and found[-1].language == "python":
            found[-1] = found[-1]._replace(shown=code)
        elif language == "python":
            found.append(Block("python", line, code, None))
        elif language == "console":
            found += _commands(code, line)
        end = match.end()
    return found


def _commands(code: str, line: int) -> list[Block]:
    """A block for each command after ``$``, continued on the next line by a backslash."""
    found: list[Block] = []
    command, start = "", line
    output: list[str] = []
    for number, text in enumerate([*code.splitlines(), "$ "], start=line):
        if command.endswith("\\"):
            command += "\n" + text
        elif text.startswith("$ "):
            if command:
                found.append(Block("console", start, command, "\n".join(output) if output else None))
            command, output, start = text[2:], [], number
        elif command:
            output.append(text)
        else:
            raise PageError(f"line {number}: a console block begins with '$ '")
    return found


def missing(page: Path) -> str:
    """What a page needs that is not installed, in a line that says how to install it; empty if nothing."""
    names = _NEEDS.findall(page.read_text(encoding="utf-8"))
    absent = [name for name in names if importlib.util.find_spec(name) is None]
    return f"SKIP {page.name}: needs pip install 'nanobragg[{','.join(absent)}]'" if absent else ""


def run(page: Path, folder: Path) -> None:
    """Run a page's blocks in a folder, which is made if need be.

    Raises
    ------
    PageError
        Naming page and line.
    """
    text = page.read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    for name in _DOWNLOAD.findall(text):
        source = (page.parent / name).resolve()
        shutil.copyfile(source, folder / source.name)
    environment = _environment(folder / ".commands")
    names: dict[str, Any] = {"__name__": "__main__"}
    instead = _INSTEAD.findall(text)
    with _inside(folder):
        for block in blocks(text):
            where = f"{page.name}, line {block.line}"
            for less, more in instead:
                block = block._replace(code=block.code.replace(more, less))
            if block.language == "python":
                printed = _run_python(block, names, where)
            else:
                printed = _run_command(block, environment, where)
            _compare(block.shown, printed, where)
    shutil.rmtree(folder / ".commands")


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _environment(commands: Path) -> dict[str, str]:
    """This interpreter's commands first on the path, whether or not they are installed."""
    commands.mkdir(exist_ok=True)
    for name, module in _COMMANDS.items():
        script = commands / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    path = os.pathsep.join([str(commands.resolve()), os.environ.get("PATH", os.defpath)])
    return os.environ | {"PATH": path, "COLUMNS": "100"}


def _run_python(block: Block, names: dict[str, Any], where: str) -> str:
    printed = io.StringIO()
    code = compile("\n" * (block.line - 1) + block.code, where, "exec")
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, category, *_: print(f"{category.__name__}: {message}")
        try:
            exec(code, names)
        except Exception as error:
            if block.shown is None:
                raise PageError(f"{where}: {''.join(traceback.format_exception(error))}") from error
            print(f"{type(error).__name__}: {error}")
    return printed.getvalue()


def _run_command(block: Block, environment: dict[str, str], where: str) -> str:
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", block.code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0 and "error:" not in (block.shown or ""):
        raise PageError(f"{where}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def _compare(shown: str | None, printed: str, where: str) -> None:
    if shown is not None and not doctest.OutputChecker().check_output(shown, printed, _FLAGS):
        raise PageError(f"{where}\nthe page shows\n{shown}\nthe block prints\n{printed}")


def main(words: list[str]) -> int:
    """Run one page; returns the exit status."""
    if len(words) != 2:
        print("usage: python docs/page_runner.py PAGE FOLDER", file=sys.stderr)
        return 2
    page = Path(words[0]).resolve()
    if skipped := missing(page):
        print(skipped)
        return 0
    try:
        run(page, Path(words[1]).resolve())
    except PageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
