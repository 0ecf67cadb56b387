"""Random changes of files and of the trees in them, each of them drawn from a seeded generator."""

import copy
import json
import random
from pathlib import Path
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 3, 1.5, -0.0, 10**30, -(10**30), 1e308, 1e-320, float("inf"), float("nan")),
    *(
        "",
        " ",
        "../../x",
        "/etc/passwd",
        "a\0b",
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "é" * 300,
    ),
    *("auto", "cpu", "none", "1e400", ">= 0.5", "os:system", "nas:nothing", "nan", "[[", "%s", "{folder}", "\n", "-"),
    *([], {}, [[]], {"": None}, [1, "a", None], {"name": "x"}, {"a": {"b": {"c": [1, 2]}}}, list(range(50))),
)
BYTES = (
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\n",
    b'"',
    b"{",
    b"}",
    b"[",
    b",",
    b"1e999",
    b"9" * 40,
    b"\\u0000",
    b"--",
    b"x" * 2000,
)


def changed_tree(tree: Any, draw: random.Random) -> Any:
    """Return a copy of nested lists and mappings with one to three entries changed."""
    tree = copy.deepcopy(tree)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return draw.choice(ODD)
        holder, key = draw.choice(places)
        _change(holder, key, draw)
    return tree


def _places(tree: Any) -> Any:
    """Yield every holder with a key or index into it."""
    entries = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, below in entries:
        yield tree, key
        yield from _places(below)


def _change(holder: Any, key: Any, draw: random.Random) -> None:
    what = draw.randrange(7)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[str(draw.choice(ODD))[:40]] = holder.pop(key)
    elif what == 2 and isinstance(holder, dict):
        holder[draw.choice(("unknown", "name", "options", "path", "key"))] = draw.choice(ODD)
    elif what == 3 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif what == 4 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = draw.choice((-holder[key], holder[key] * 1000, holder[key] + 1, str(holder[key]), [holder[key]]))
    elif what == 5 and isinstance(holder[key], str) and holder[key]:
        at = draw.randrange(len(holder[key]))
        holder[key] = holder[key][:at] + draw.choice(("", "x", "\n", "/", "..", "0")) + holder[key][at + 1 :]
    else:
        holder[key] = draw.choice(ODD)


def changed_bytes(content: bytes, draw: random.Random) -> bytes:
    """Return content with one to three places changed."""
    for _ in range(draw.choice((1, 1, 2, 3))):
        start = draw.randrange(len(content) + 1)
        end = min(len(content), start + draw.choice((0, 1, 2, 10, 200)))
        what = draw.randrange(6)
        if what == 0:
            content = content[:start] + draw.choice(BYTES) + content[start:]
        elif what == 1:
            content = content[:start] + content[end:]
        elif what == 2:
            content = content[:start] + bytes(draw.randrange(256) for _ in range(end - start)) + content[end:]
        elif what == 3:
            content = content[:start]
        elif what == 4:
            content = content[:end] + content[start:end] + content[end:]
        else:
            content = draw.choice((b"", b"\n", content[start:], content.replace(b"\n", b"\r\n"), b"{}", b"[]", b"null"))
    return content


def change_file(path: Path, draw: random.Random) -> None:
    """Change a file: its bytes, the tree in it, one of its lines, or what it is."""
    what = draw.randrange(10)
    if what == 0:
        path.unlink()
    elif what == 1:
        path.unlink()
        path.mkdir()
    elif what == 2:
        path.unlink()
        path.symlink_to(draw.choice(("/etc/hostname", "nowhere", path.name, "../..")))
    elif what < 7 and path.suffix == ".json":
        path.write_text(json.dumps(changed_tree(json.loads(path.read_bytes()), draw)))
    elif what < 7 and path.suffix == ".jsonl":
        lines = path.read_text().splitlines() or ["{}"]
        at = draw.randrange(len(lines))
        lines[at] = json.dumps(changed_tree(json.loads(lines[at]), draw))
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_bytes(changed_bytes(path.read_bytes(), draw))
