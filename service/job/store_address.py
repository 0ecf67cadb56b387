"""The address of an MLflow store: without its password, and as a file on this machine.

Addresses that are kept, shown or passed on hold no password. Passwords stay in the environment, from where
`with_password` takes them when a store is opened.
"""

import os
import re
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode

URI_VARIABLE = "MLFLOW_TRACKING_URI"
EXPERIMENT_VARIABLE = "MLFLOW_EXPERIMENT_NAME"
_SECRET_VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SECRET_OPTION = re.compile(r"pass|pwd|token|secret|key|auth|cred|sig", re.IGNORECASE)
_ADDRESS = re.compile(r"\b(?!sqlite|ssh)([A-Za-z][A-Za-z0-9+.-]*://)([^\s/@'\"]*[^\s@'\"]*@)")
_QUERY = re.compile(r"([?&][A-Za-z_.-]*(?:pass|pwd|token|secret|key|auth|cred|sig)[A-Za-z_.-]*=)[^\s&'\")]+", re.I)
_SQLITE = re.compile(r"sqlite(\+pysqlite)?:///")
_OPTIONS = re.compile(r"\?([A-Za-z_]+=[^?/]*)$")
_SHORTEST = 3  # a shorter password would be found in every word


def plain(uri: str) -> str:
    """Return an address without login and without options that hold secrets; a database keeps the name of its user."""
    scheme, separator, rest = uri.partition("://") if "://" in uri else ("", "", uri)
    if scheme.startswith("sqlite"):
        return uri
    login, rest = _split_login(rest)
    user = "" if scheme in ("http", "https", "") else login.partition(":")[0]
    rest, mark, query = rest.partition("?")
    kept = [
        (name, value) for name, value in parse_qsl(query, keep_blank_values=True) if not _SECRET_OPTION.search(name)
    ]
    return f"{scheme}{separator}{user}{'@' if user else ''}{rest}{mark if kept else ''}{urlencode(kept)}"


def login_of(uri: str) -> tuple[str, str]:
    """Return the user and the password in an address, each empty where there is none."""
    user, _, password = _split_login(uri.partition("://")[2])[0].partition(":")
    return unquote(user), unquote(password)


def with_password(uri: str) -> str:
    """Return the address as the environment has it, with its password, if it is of the same store."""
    given = os.environ.get(URI_VARIABLE, "").strip()
    return given if given and plain(given) == uri else uri


def environment_store() -> dict[str, str]:
    """Return what the environment says of the store (`uri`, without its password) and of the `experiment`."""
    uri, experiment = (os.environ.get(name, "").strip() for name in (URI_VARIABLE, EXPERIMENT_VARIABLE))
    database = database_of(uri)
    if database is not None and not _OPTIONS.search(uri):
        uri = address_of(database.absolute())
    return {name: value for name, value in (("uri", plain(uri)), ("experiment", experiment)) if value}


def typed(uri: str) -> str:
    """Return an address of a command line without its password, which goes into the environment of this process."""
    if plain(uri) != uri:
        os.environ[URI_VARIABLE] = uri
    return plain(uri)


def without_secrets(text: str) -> str:
    """Return a text without the passwords of addresses in it, and without those that the environment holds."""
    text = _QUERY.sub(r"\1***", _ADDRESS.sub(r"\1***@", text))
    given = os.environ.get(URI_VARIABLE, "")
    raw = _split_login(given.partition("://")[2])[0].partition(":")[2]
    known = {raw, unquote(raw), *(os.environ.get(name, "") for name in _SECRET_VARIABLES)}
    for secret in sorted((one for one in known if len(one) >= _SHORTEST), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def database_of(uri: str) -> Path | None:
    """Return the file of an SQLite store, None for any other store.

    `?` and `%` in the name of a folder are written `%3F` and `%25`. An address with a plain `%` is understood too
    where such a folder is there.
    """
    begin = _SQLITE.match(uri)
    if begin is None:
        return None
    literal = Path(_OPTIONS.sub("", uri[begin.end() :]))
    return literal if "%" not in str(literal) or literal.parent.is_dir() else Path(unquote(str(literal)))


def address_of(database: Path) -> str:
    """Return the address of an SQLite file."""
    return f"sqlite:///{str(database).replace('%', '%25').replace('?', '%3F')}"


def openable(uri: str) -> str:
    """Return the address of a store for MLflow.

    SQLAlchemy reads `?` and `%` in the path of a database differently from version to version. Such a path is given
    as SQLite's own kind of address, which it decodes itself.
    """
    database = database_of(uri)
    if database is None or not re.search(r"[?%#]", str(database)):
        return uri
    from sqlalchemy.engine import URL

    query = {"uri": "true", **dict(parse_qsl(found[1] if (found := _OPTIONS.search(uri)) else ""))}
    # with the driver named, MLflow does not make a folder of the encoded name
    url = URL.create("sqlite+pysqlite", database=f"file:{quote(str(database.absolute()))}", query=query)
    return url.render_as_string(hide_password=False)


def _split_login(rest: str) -> tuple[str, str]:
    """Return the login in an address without its scheme, and what follows; a password may hold any character."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        login, _, host = authority.rpartition("@")
        return login, host + rest[len(authority) :]
    _, colon, port = authority.rpartition(":")
    if colon and not port.isdigit() and "@" in rest and not authority.startswith("["):
        login, _, after = rest.rpartition("@")
        return login, after
    return "", rest
