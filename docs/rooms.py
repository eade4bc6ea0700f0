"""The rooms of the package and who uses whom, read from the imports: ``python docs/rooms.py`` draws them.

The order of `ROOMS` is the rule: a module imports from its own room and from those before it.
"""

from __future__ import annotations

import ast
from pathlib import Path

#: in the order of imports; the public face, ``nbragg/*.py``, comes last
ROOMS = (
    "_engine",
    "base",
    "io.files",
    "io.reflections",
    "response.expected",
    "model",
    "scene",
    "engine",
    "response",
    "analysis",
    "io.images",
    "io.geometry",
    "io.truth",
    "io",
    "inverse",
    "simulation",
    "refinement",
    "dataset.containers",
    "dataset",
    "cli",
    "nbragg",
)

TITLES = {
    "_engine": "C: csrc/, wrapped",
    "base": "errors, checks, vectors, unit cell",
    "io.files": "whole files or none; what a file holds",
    "io.reflections": "structure factors in",
    "response.expected": "what counts are on average",
    "model": "what a person sets: Setup",
    "scene": "from there to numbers: Scene",
    "engine": "from a Scene to photons: CPU, CUDA",
    "response": "from photons to counts",
    "analysis": "trace, prediction, statistics, pictures",
    "io.images": "images out and in",
    "io.geometry": "detectors of other programs, in and out",
    "io.truth": "what was simulated, for other programs",
    "io": "recipes, crystals from files; the face of io",
    "inverse": "from images back to parameters: derivatives",
    "simulation": "simulate, Simulator, Series, Result",
    "refinement": "likelihood, steps, stages: refine",
    "dataset.containers": "files of many labelled images",
    "dataset": "a recipe to a million images; reading them",
    "cli": "commands",
    "nbragg": "the public face, datasets, demo, torch, jax",
}


def modules(package: Path) -> dict[str, Path]:
    """Module name below the package -> its file; a package's own name stands for its ``__init__``."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name or path.stat().st_size:
            found[name] = path
    return found


def imports(package: Path) -> dict[str, set[str]]:
    """For each module those of the package that it imports, anywhere in its text but under TYPE_CHECKING."""
    known = modules(package)
    names = {*known, "_engine"}
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        if name == "":
            continue  # the lazily loaded face names everything
        home = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        uses: set[str] = set()
        for node in _statements(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = home[: len(home) - node.level + 1]
                target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
                for alias in node.names:
                    below = f"{target}.{alias.name}".strip(".")
                    uses.add(below if below in names else target)
        uses.discard(name)
        uses.discard("")
        found[name] = {use for use in uses if use in names}
    return found


def _statements(tree: ast.Module) -> list[ast.AST]:
    """All nodes; what stands under ``if TYPE_CHECKING`` is for readers of types, and never runs."""
    nodes: list[ast.AST] = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            waiting.extend(node.orelse)
            continue
        nodes.append(node)
        waiting.extend(ast.iter_child_nodes(node))
    return nodes


def room_of(module: str) -> str:
    """The room a module stands in."""
    parts = module.split(".")
    for length in (2, 1):
        name = ".".join(parts[:length])
        if name in ROOMS:
            return name
    return "nbragg"


def circle(graph: dict[str, set[str]]) -> list[str] | None:
    """Modules that import each other in a circle, or None."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str] | None:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return None
        for other in sorted(graph.get(module, ())):
            found = visit(other, [*path, module])
            if found:
                return found
        done.add(module)
        return None

    for module in sorted(graph):
        found = visit(module, [])
        if found:
            return found
    return None


_WIDTH, _BOX, _STEP, _LEFT = 760, 300, 52, 20


def picture(graph: dict[str, set[str]]) -> str:
    """An SVG picture: a box for each room with its number of modules, an arrow to each room that it uses."""
    used = {room: set() for room in ROOMS}  # type: dict[str, set[str]]
    sizes = dict.fromkeys(ROOMS, 0)
    sizes["_engine"] = 1
    for module, uses in graph.items():
        room = room_of(module)
        sizes[room] += 1
        used[room] |= {room_of(use) for use in uses} - {room}
    height = _STEP * len(ROOMS) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
    ]
    for i, room in enumerate(ROOMS):
        y = 10 + _STEP * i
        count = f"{sizes[room]} module" + ("s" if sizes[room] != 1 else "")
        lines += [
            f'<rect x="{_LEFT}" y="{y}" width="{_BOX}" height="40" rx="5" fill="#eef3fa" stroke="#456"/>',
            f'<text x="{_LEFT + 10}" y="{y + 17}" font-size="13" font-weight="bold" fill="#123">'
            f"{room}</text>",
            f'<text x="{_LEFT + _BOX - 10}" y="{y + 17}" font-size="10" text-anchor="end" fill="#567">{count}'
            "</text>",
            f'<text x="{_LEFT + 10}" y="{y + 33}" font-size="11" fill="#345">{TITLES[room]}</text>',
        ]
    for i, room in enumerate(ROOMS):
        for other in sorted(used[room], key=ROOMS.index):
            j = ROOMS.index(other)
            start, end = 10 + _STEP * i + 14, 10 + _STEP * j + 28
            bulge = _LEFT + _BOX + 24 + 30 * abs(i - j)
            right = _LEFT + _BOX
            lines.append(
                f'<path d="M{right} {start} C{bulge} {start} {bulge} {end} {right + 2} {end}" fill="none" '
                'stroke="#667" stroke-opacity="0.55" marker-end="url(#head)"/>'
            )
    return "\n".join([*lines, "</svg>", ""])


def main() -> None:
    """Write docs/images/rooms.svg."""
    root = Path(__file__).resolve().parent.parent
    target = root / "docs" / "images" / "rooms.svg"
    target.write_text(picture(imports(root / "nbragg")), encoding="utf-8")
    print(target.relative_to(root))


if __name__ == "__main__":
    main()
