"""The picture of one network as an SVG image: its pieces from top to bottom or its graphs, and numbers of layers.

Every line has room of its own, so that nothing overlaps; a picture can be read at its own size, 336 pixels where there
are no large graphs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import sqrt

from search_spaces.anatomy import Anatomy, Graph, Piece
from search_spaces.bars import Bars
from service.report.markup import text
from service.report.text import shape_text

_FONT = "system-ui, -apple-system, 'Segoe UI', sans-serif"
_WIDTH, _ROW = 336, 36
_MIDDLE, _NARROWEST, _WIDEST, _TEXT = 36, 12, 64, 76
_TITLE_LETTERS, _DETAIL_LETTERS = 38, 45
_COLOURS = ("#bfdbfe", "#fde68a", "#bbf7d0", "#ddd6fe", "#fecdd3", "#a5f3fc", "#fed7aa", "#e2e8f0")
_INK, _QUIET, _LINE = "#1e293b", "#64748b", "#94a3b8"

_LAYER_LETTERS = 32
_NODE, _NODE_ROW, _NODE_HEIGHT = 112, 48, 24
_LETTER, _BARE_COLUMN, _NODE_LETTERS = 6.4, 26, 17


def network_svg(anatomy: Anatomy) -> str:
    """Return the picture of a network; a file of its own, with nothing in it that runs."""
    parts = [_pieces(anatomy.pieces)] if anatomy.pieces else []
    parts += [_graph(graph) for graph in anatomy.graphs]
    parts += [_bars(bars) for bars in anatomy.bars]
    width, height = max((part.width for part in parts), default=1), sum(part.height for part in parts)
    drawn, top = [f"<rect width='{width}' height='{height}' fill='white'/>"], 0
    for part in parts:
        drawn.append(f"<g transform='translate(0,{top})'>{part.drawn}</g>")
        top += part.height
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    style = f'font-family="{_FONT}" font-size="12" fill="{_INK}"'
    return f"<svg xmlns='http://www.w3.org/2000/svg' role='img' {size} {style}>{''.join(drawn)}</svg>"


@dataclass(frozen=True)
class _Part:
    """A part of the picture."""

    width: int
    height: int
    drawn: str


# ---- pieces in a row ------------------------------------------------------------------------------------------------


def _pieces(pieces: Sequence[Piece]) -> _Part:
    """Draw pieces below each other: as wide as their inputs have channels, dashed where nothing runs."""
    widest = max((piece.shape[0] for piece in pieces if piece.shape), default=1)
    kinds = list(dict.fromkeys(_kind(piece) for piece in pieces if not piece.skipped))
    ends = f"y1='{_ROW // 2}' y2='{len(pieces) * _ROW - _ROW // 2}'"
    drawn = [f"<line x1='{_MIDDLE}' x2='{_MIDDLE}' {ends} stroke='{_LINE}'/>"]
    for row, piece in enumerate(pieces):
        colour = _COLOURS[kinds.index(_kind(piece)) % len(_COLOURS)] if not piece.skipped else "white"
        share = sqrt(piece.shape[0] / widest) if piece.shape else 0.5
        drawn.append(_piece(piece, row * _ROW, max(_NARROWEST, round(share * _WIDEST)), colour))
    return _Part(_WIDTH, len(pieces) * _ROW, "".join(drawn))


def _piece(piece: Piece, top: int, width: int, colour: str) -> str:
    title, detail = _words(piece)
    dashed, ink = (" stroke-dasharray='4 3'", _QUIET) if piece.skipped else ("", _INK)
    box = f"x='{_MIDDLE - width / 2:g}' y='{top + 5}' width='{width}' height='{_ROW - 10}' rx='4'"
    whole = f"<title>{text('; '.join(filter(None, (title, detail))))}</title>"
    middle = 15 if detail else 22
    lines = f"<text x='{_TEXT}' y='{top + middle}' fill='{ink}'>{text(_cut(title, _TITLE_LETTERS))}</text>"
    if detail:
        small = f"font-size='10.5' fill='{_QUIET}'"
        lines += f"<text x='{_TEXT}' y='{top + 29}' {small}>{text(_cut(detail, _DETAIL_LETTERS))}</text>"
    return f"<g>{whole}<rect {box} fill='{colour}' stroke='{_LINE}'{dashed}/>{lines}</g>"


def _words(piece: Piece) -> tuple[str, str]:
    """Return what stands beside a piece: what it is, and below that more of it."""
    choices = {name: value for name, value in piece.choices.items() if name != piece.place}
    decided = ", ".join(f"{name} {value}" for name, value in choices.items())
    if piece.place in piece.choices:
        decided = ", ".join(filter(None, [str(piece.choices[piece.place]), decided]))
    if piece.skipped:
        return f"{piece.place}: {decided or 'skipped'}" if piece.place else "skipped", ""
    on = f"on {shape_text(piece.shape)}" if piece.shape else ""
    times = f"{piece.repeats} times" if piece.repeats > 1 else ""
    if not piece.place:
        return piece.block, ", ".join(filter(None, [times, on]))
    return f"{piece.place}: {decided}" if decided else piece.place, " ".join(filter(None, [piece.block, times, on]))


def _kind(piece: Piece) -> str:
    """Return what decides the colour of a piece: the first word of its block, or its place."""
    return piece.block.partition(" ")[0] or piece.place.rpartition(".")[0] or piece.place


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else words[: most - 1] + "…"


# ---- numbers of layers ----------------------------------------------------------------------------------------------


def _bars(bars: Bars) -> _Part:
    """Draw the numbers of layers below each other: a bar for each number, and the numbers behind them."""
    head, row_height, left, length = 44, 22, 196, 96
    colours = _COLOURS[: len(bars.series)]
    drawn = [f"<text x='4' y='16' font-weight='600'>{text(bars.name)}</text>"]
    for place, (series, colour) in enumerate(zip(bars.series, colours)):
        x = left + place * 68
        drawn.append(f"<rect x='{x}' y='26' width='8' height='8' fill='{colour}' stroke='{_LINE}'/>")
        drawn.append(f"<text x='{x + 12}' y='34' font-size='10.5'>{text(series)}</text>")
    thick = (row_height - 6) / max(1, len(bars.series))
    for row, (layer, numbers) in enumerate(bars.rows):
        top, said = head + row * row_height, ", ".join(map(str, numbers))
        drawn.append(f"<g><title>{text(f'{layer}: {said}')}</title>")
        drawn.append(f"<text x='4' y='{top + 14}' font-size='10.5'>{text(_end(layer, _LAYER_LETTERS))}</text>")
        for place, (number, colour) in enumerate(zip(numbers, colours)):
            box = (
                f"x='{left}' y='{top + 3 + place * thick:g}' width='{length * number / bars.most:g}' height='{thick:g}'"
            )
            drawn.append(f"<rect {box} fill='{colour}' stroke='{_LINE}'/>")
        drawn.append(f"<text x='{left + length + 6}' y='{top + 14}' font-size='10.5'>{text(said)}</text></g>")
    return _Part(_WIDTH, head + len(bars.rows) * row_height + 8, "".join(drawn))


def _end(words: str, most: int) -> str:
    """Return the end of a path, which tells it from others."""
    return words if len(words) <= most else "…" + words[1 - most :]


# ---- graphs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Edge:
    """An edge; unused ones are dashed."""

    source: int
    target: int
    label: str
    used: bool

    @property
    def width(self) -> int:
        """What its column needs."""
        return round(_BARE_COLUMN + _LETTER * len(self.label))


def _graph(graph: Graph) -> _Part:
    """Draw nodes as rows and edges as arrows between them, each in a column that is free from its source on."""
    edges = [_Edge(*edge, used=True) for edge in graph.edges] + [_Edge(*edge, used=False) for edge in graph.unused]
    columns = list(_columns(edges))
    head = 26
    rows = [head + row * _NODE_ROW + _NODE_HEIGHT // 2 for row in range(len(graph.nodes))]
    width = max(_WIDTH, _NODE + sum(max(edge.width for edge in column) for column in columns) + 10)
    drawn = [f"<text x='4' y='16' font-weight='600'>{text(graph.name)}</text>"]
    for y in rows:
        drawn.append(f"<line x1='{_NODE}' x2='{width - 6}' y1='{y}' y2='{y}' stroke='#e2e8f0'/>")
    left = _NODE + 12
    for column in columns:
        drawn += [_arrow(edge, left, rows) for edge in column]
        left += max(edge.width for edge in column)
    drawn += [_node(name, y) for name, y in zip(graph.nodes, rows)]
    return _Part(width, head + len(rows) * _NODE_ROW - _NODE_ROW + _NODE_HEIGHT + 12, "".join(drawn))


def _columns(edges: Iterable[_Edge]) -> Iterator[list[_Edge]]:
    """Yield the edges of each column: those of one column do not overlap, short ones come first."""
    left = sorted(edges, key=lambda edge: (edge.target - edge.source, edge.source))
    while left:
        column: list[_Edge] = []
        for edge in sorted(left, key=lambda edge: (edge.source, edge.target)):
            if not column or edge.source >= column[-1].target:
                column.append(edge)
        left = [edge for edge in left if edge not in column]
        yield column


def _arrow(edge: _Edge, x: int, rows: Sequence[int]) -> str:
    start, end = rows[edge.source], rows[edge.target]
    colour, dashed = ("#2563eb", "") if edge.used else (_LINE, " stroke-dasharray='4 3'")
    line = f"<line x1='{x}' x2='{x}' y1='{start}' y2='{end - 6}' stroke='{colour}' stroke-width='1.6'{dashed}/>"
    ends = f"<circle cx='{x}' cy='{start}' r='2.6' fill='{colour}'/>"
    ends += f"<path d='M{x - 4} {end - 8}L{x + 4} {end - 8}L{x} {end}Z' fill='{colour}'/>"
    ink = _INK if edge.used else _QUIET
    label = f"<text x='{x + 6}' y='{start + _NODE_ROW // 2 + 4}' font-size='11' fill='{ink}'>{text(edge.label)}</text>"
    return line + ends + (label if edge.label else "")


def _node(name: str, y: int) -> str:
    box = f"x='4' y='{y - _NODE_HEIGHT // 2}' width='{_NODE - 4}' height='{_NODE_HEIGHT}' rx='5'"
    words = f"<text x='{_NODE // 2 + 2}' y='{y + 4}' text-anchor='middle'>{text(_cut(name, _NODE_LETTERS))}</text>"
    return f"<g><title>{text(name)}</title><rect {box} fill='#f1f5f9' stroke='{_LINE}'/>{words}</g>"
