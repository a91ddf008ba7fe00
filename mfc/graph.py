"""A plan drawn as a graph: stages as boxes, inputs as arrows, from left to right."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import networkx as nx

from mfc.dsl import ir

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 44, 50, 18, 16
COLOURS = {"up to date": "#dff0d8", "to run": "#fce5c3", "waiting": "#eeeeee"}


def graph_of(plan: ir.Plan) -> nx.DiGraph:
    """The stages of a plan and what goes from one to another."""
    graph = nx.DiGraph()
    for stage in plan:
        graph.add_node(stage.name, kind=stage.kind)
        graph.add_edges_from((name, stage.name) for name in stage.inputs)
    return graph


def draw(plan: ir.Plan, states: Mapping[str, str] | None = None) -> str:
    """The plan as an SVG picture; `states` says for each stage whether it is up to date, to run or waiting. Without,
    the picture says of what kind each is."""
    graph = graph_of(plan)
    places: dict[str, tuple[int, int]] = {}
    columns = [sorted(names) for names in nx.topological_generations(graph)]
    for column, names in enumerate(columns):
        for row, name in enumerate(names):
            places[name] = (MARGIN + column * (WIDTH + GAP_X), MARGIN + row * (HEIGHT + GAP_Y))
    width = 2 * MARGIN + len(columns) * (WIDTH + GAP_X) - GAP_X
    height = 2 * MARGIN + max(map(len, columns), default=1) * (HEIGHT + GAP_Y) - GAP_Y
    parts = [_arrow(places[a], places[b]) for a, b in sorted(graph.edges)]
    for stage in plan:
        said = stage.kind if states is None else states.get(stage.name, "waiting")
        parts.append(_box(places[stage.name], stage.name, said))
    head = (
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#555"/></marker></defs>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" '
        f'font-size="13">{head}{"".join(parts)}</svg>\n'
    )


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    middle = (x1 + x2) // 2
    curve = f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}"
    return f'<path d="{curve}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _box(place: tuple[int, int], name: str, said: str) -> str:
    (x, y), colour = place, COLOURS.get(said, "#f6f6f6")
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{colour}" stroke="#555"/>'
        f'<text x="{x + 10}" y="{y + 19}" font-weight="bold">{escape(name)}</text>'
        f'<text x="{x + 10}" y="{y + 35}" fill="#555">{escape(said)}</text>'
    )
