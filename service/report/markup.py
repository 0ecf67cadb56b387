"""Pieces of HTML pages: escaped text, tables, bars, matrices. A page is one file that works offline."""

import html
from collections.abc import Iterable, Mapping, Sequence

STYLE = """
*{box-sizing:border-box}
body{font-family:system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:#1e293b;line-height:1.5}
h1{font-size:1.7em;margin-bottom:.2em;overflow-wrap:anywhere}
h2{margin-top:2em;border-bottom:1px solid #e2e8f0;padding-bottom:.2em}h3{margin:1.4em 0 .4em}
p,li{max-width:52em;overflow-wrap:anywhere}.lead{font-size:1.15em}.quiet{color:#64748b}
.mark{background:#fef3c7;padding:.6em .9em}
table{border-collapse:collapse;margin:1em 0;font-size:.93em;display:block;overflow-x:auto}
th,td{padding:.35em .65em;text-align:right;border-bottom:1px solid #e2e8f0;white-space:nowrap}
th{color:#475569;font-weight:600}th:first-child,td:first-child{text-align:left}
.prose{display:table}.prose td,.prose th{white-space:normal;text-align:left;vertical-align:top;overflow-wrap:anywhere}
code{background:#f1f5f9;padding:.1em .3em}dt{font-weight:600;margin-top:.6em}dd{margin-left:1.2em}
pre{background:#f1f5f9;padding:.7em .9em;overflow-x:auto;font-size:.93em;margin:.5em 0 1em}
.row{display:flex;flex-wrap:wrap;gap:1.2em 2.4em;align-items:flex-start}
.row section{max-width:100%;min-width:0}.row section h3{margin-top:0}.note{max-width:25em;font-size:.9em}
.card{border:1px solid #e2e8f0;border-radius:6px;padding:.8em;flex:0 1 auto;min-width:0;max-width:100%}
.card h3{margin:0 0 .2em;font-size:1em}.card p{margin:.2em 0 .6em;font-size:.9em;max-width:23em}
.picture{overflow-x:auto}.picture svg{display:block}summary{cursor:pointer;color:#475569}
.shots{display:flex;flex-wrap:wrap;gap:.9em;margin:1em 0}
.shots figure{margin:0;width:150px}.shots img{width:96px;height:96px;object-fit:contain;image-rendering:pixelated}
.shots .said{width:100%;max-width:52em}.said figcaption{font-size:.93em}
.shots figcaption{font-size:.82em;line-height:1.35;overflow-wrap:anywhere}
.bars{display:grid;grid-template-columns:max-content minmax(5em,12em) max-content;gap:.25em .8em;font-size:.93em}
.bars i{display:block;background:#e2e8f0;border-radius:3px}.bars b{display:block;height:1.2em;background:#3b82f6;
border-radius:3px}
.matrix td{text-align:center;border:1px solid #fff;min-width:2.4em}
.matrix th{font-weight:500}.matrix th[scope=row]{text-align:right}
""".strip()

_STRONGEST = 0.85  # strongest colour of a cell, so that dark text stays readable
_ROW, _RIGHT, _WRONG = "#f1f5f9", (59, 130, 246), (234, 88, 12)


def text(content: object) -> str:
    """Return the text of anything, escaped."""
    return html.escape(str(content))


def page_of(title: str, body: Iterable[str]) -> str:
    """Return a whole page as HTML; the title is plain text."""
    head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'>"
    head += f"<title>{text(title)}</title><style>{STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>\n"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, prose: bool = False) -> str:
    """Return a table of plain texts; lines of prose are broken."""
    head = "".join(f"<th>{text(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>" for row in rows)
    kind = " class='prose'" if prose else ""
    return f"<table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def listed(names: Sequence[str]) -> str:
    """Return names with commas and a last `and`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def capital(sentence: str) -> str:
    """Return a sentence with a capital letter in front."""
    return sentence[:1].upper() + sentence[1:]


def bars(values: Mapping[str, float], unit: str, *, full: float) -> str:
    """Return a bar and a number for each group.

    Args:
        values: Values by the names of the groups, in the order in which they are shown.
        unit: Unit behind the numbers.
        full: The value of the longest bar.
    """
    lines = []
    for name, value in values.items():
        share = min(max(value / full, 0.0), 1.0) if full > 0 else 0.0
        bar = f"<i><b style='width:{100 * share:.1f}%'></b></i>"
        lines.append(f"<span>{text(name)}</span>{bar}<span>{text(f'{value:.3g} {unit}'.strip())}</span>")
    return f"<div class='bars'>{''.join(lines)}</div>"


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Return counts of rows taken for columns: blue where they agree, orange elsewhere, darker for larger shares."""
    head = "".join(f"<th>{text(label)}</th>" for label in labels)
    rows = []
    for place, (label, row) in enumerate(zip(labels, counts)):
        total = max(1, sum(row))
        cells = "".join(_cell(count, count / total, column == place) for column, count in enumerate(row))
        rows.append(f"<tr><th scope='row'>{text(label)}</th>{cells}</tr>")
    return f"<table class='matrix'><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _cell(count: int, share: float, agrees: bool) -> str:
    red, green, blue = _RIGHT if agrees else _WRONG
    strength = _STRONGEST * share**0.5 if share else 0.0
    colour = f"rgba({red},{green},{blue},{strength:.2f})" if share else _ROW
    return f"<td style='background:{colour}'>{count or ''}</td>"
