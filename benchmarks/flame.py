"""Flame graphs: what `perf script` printed, folded and drawn as SVG (Brendan Gregg's layout)."""

import re
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT, SMALLEST = 1200, 16, 0.002  # px, px; the share of all below which nothing is drawn
TRUNK = 0.98  # a call with more of all than this is under everything
LETTER = 6.2  # px, about
HEAD = 44
# What a frame belongs to, by the file that it is in.
COLORS = (
    ("uvloop, libuv", "uvloop", "#f2b75c"),
    ("other extensions", "site-packages", "#d5a6e0"),
    ("fastws", "/fastws/", "#e8655a"),  # also where the whole project is in a folder of that name
    ("kernel", "kernel", "#8fb8de"),
    ("CPython and libraries", "", "#b9cfa8"),
)
FRAME = re.compile(r"^\s+[0-9a-f]+ (.+?)(?:\+0x[0-9a-f]+)? \((.*)\)$")
CYTHON = re.compile(r"^__pyx_(?:f|pf|pw|gb|mdef|fuse_\d)_?")


@dataclass
class Node:
    """A function, called from what is above it.

    Attributes:
        name: of the function.
        color: of its box.
        count: samples in it and in what it calls.
        callees: by name.
    """

    name: str
    color: str
    count: int = 0
    callees: dict[str, "Node"] = field(default_factory=dict)


def fold(script: str) -> Node:
    """Make a tree of the samples, from the outermost function to the innermost."""
    root = Node("all", "#dddddd")
    for sample in script.split("\n\n"):
        frames = [match.groups() for line in sample.splitlines() if (match := FRAME.match(line))]
        if not frames:
            continue
        node = root
        node.count += 1
        for symbol, file in reversed(frames):
            if symbol == "[unknown]":
                continue
            name = readable(symbol)
            if name not in node.callees:
                node.callees[name] = Node(name, color_of(file))
            node = node.callees[name]
            node.count += 1
    return above_trunk(root)


def above_trunk(root: Node) -> Node:
    """Leave out what is under everything: how Python starts."""
    node = root
    while True:
        top = max(node.callees.values(), key=lambda n: n.count, default=node)
        if top.count < TRUNK * root.count:
            return node
        node = top


def readable(symbol: str) -> str:
    """Take Cython's mangling off: lengths before the parts of a dotted name, a number at last."""
    prefix = CYTHON.match(symbol)
    if not prefix:
        return symbol
    parts: list[str] = []
    rest = symbol[prefix.end() :]
    while match := re.match(r"_?(\d+)", rest):
        name = rest[match.end() :]
        length = int(match[1])
        if not name[length:].startswith("_"):
            return ".".join([*parts, name])
        parts.append(name[:length])
        rest = name[length:]
    return ".".join([*parts, rest.removeprefix("_")])


def color_of(file: str) -> str:
    """The color of what a file has."""
    return next(color for _, part, color in COLORS if part in file)


def depth(node: Node, smallest: float) -> int:
    """How many boxes are on top of each other."""
    below = [depth(n, smallest) for n in node.callees.values() if n.count > smallest]
    return 1 + max(below, default=0)


def draw(root: Node, title: str) -> str:
    """The graph as SVG; a box says more when pointed at."""
    smallest = root.count * SMALLEST
    height = depth(root, smallest) * HEIGHT + HEAD
    boxes: list[str] = []
    add_boxes(root, 0.0, height - HEIGHT, root.count, boxes)
    legend, x = [], 4
    for name, _, color in COLORS:
        legend.append(f'<rect x="{x}" y="24" width="12" height="12" fill="{color}"/>')
        legend.append(f'<text x="{x + 16}" y="34">{name}</text>')
        x += 30 + int(len(name) * LETTER)
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="10">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="4" y="15" font-size="13">{escape(title)}</text>',
        *legend, *boxes, "</svg>", "",
    ))  # fmt: skip


def add_boxes(node: Node, x: float, y: int, total: int, boxes: list[str]) -> None:
    """Draw a function at a place, and what it calls above it."""
    width = node.count / total * WIDTH
    name = escape(node.name)
    boxes.append(
        f'<g><title>{name}: {node.count / total:.1%}</title><rect x="{x:.1f}" y="{y}" '
        f'width="{width:.1f}" height="{HEIGHT - 1}" fill="{node.color}"/>'
    )
    if (letters := int((width - 4) / LETTER)) > 2:
        short = node.name if len(node.name) <= letters else f"{node.name[: letters - 1]}…"
        boxes.append(f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(short)}</text>')
    boxes.append("</g>")
    for callee in sorted(node.callees.values(), key=lambda n: n.name):
        if callee.count > total * SMALLEST:
            add_boxes(callee, x, y - HEIGHT, total, boxes)
        x += callee.count / total * WIDTH
