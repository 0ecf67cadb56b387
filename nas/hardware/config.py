"""The settings of latency measurements, and the conditions under which a number holds."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from nas.names import find
from search_spaces.errors import FieldError
from search_spaces.limits import check_most

PRECISIONS = ("fp32", "bf16", "fp16", "int8")
_LEAST = (("batch_size", 1), ("threads", 1), ("repeats", 5), ("warmup_s", 0), ("min_time_ms", 0))
_SSH = re.compile(
    r"ssh://(?:(?P<user>[^@/:\s-][^@/:\s]*)@)?"
    r"(?P<host>[A-Za-z0-9_.][A-Za-z0-9_.-]*)(?::(?P<port>\d{1,5}))?(?:/(?P<place>cpu|cuda)?)?"
)

_MOST = {"batch_size": 10**5, "threads": 4096, "repeats": 10**5, "warmup_s": 3600.0, "min_time_ms": 600_000.0}
_MOST |= {"timeout_s": 10.0**6, "max_interval": 1000.0}


@dataclass(frozen=True, kw_only=True)
class LatencyConfig:
    """How latency is measured.

    Args:
        batch_size: Inputs of one forward pass.
        threads: CPU threads of one forward pass.
        repeats: Timed repeats of each network.
        warmup_s: Longest warm-up of each network in seconds; it ends earlier once the times have settled.
        min_time_ms: Least time of a group of forward passes that is timed as one.
        decode: Tokens that a translator writes while it is timed: the encoder runs once and the decoder once for each
            token, with a cache; always the most likely token. `null` for one pass over a source and a target.
        backend: What runs the networks: a catalogue name (`nas list backend`), or `package.module:object`.
        precision: Precision of weights and activations; `int8` quantises weights once and activations at every pass.
        device: `here` for this machine, or `ssh://user@host[:port]` for another one: its processor, or its CUDA device
            with `/cuda` at the end.
        timeout_s: Time in seconds after which the measurement of a network is given up as too slow.
        max_interval: Widest 95% interval that is accepted, as a share of the value. Networks with wider ones are
            measured longer, and fail if that does not help.
        ssh_options: Options of the `ssh` program, such as `-i` and a file; the rest belongs in ~/.ssh/config.
        python: Interpreter on the other machine.
    """

    batch_size: int = 1
    threads: int = 1
    repeats: int = 25
    warmup_s: float = 0.5
    min_time_ms: float = 2.0
    decode: int | None = None
    backend: str = "torch"
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    device: str = "here"
    timeout_s: float = 120.0
    max_interval: float | None = None
    ssh_options: list[str] = field(default_factory=list)
    python: str = "python3"

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        for name, least in _LEAST:
            if getattr(self, name) < least:
                raise FieldError(name, f"must be at least {least}, got {getattr(self, name)}")
        if self.precision not in PRECISIONS:
            raise FieldError("precision", f"must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.timeout_s <= 0:
            raise FieldError("timeout_s", f"must be more than 0, got {self.timeout_s:g}")
        if self.max_interval is not None and self.max_interval <= 0:
            raise FieldError("max_interval", f"must be more than 0, got {self.max_interval:g}")
        if self.decode is not None and self.decode < 1:
            raise FieldError("decode", f"must be at least 1, or null, got {self.decode}")
        if self.device != "here":
            ssh_address(self.device)
        if not self.python.strip():
            raise FieldError("python", f"must be an interpreter, got {self.python!r}")

    def make_backend(self) -> Any:
        """Return the backend, see `nas.hardware.backends.Backend`.

        Raises:
            ValueError: There is no backend of that name.
        """
        try:
            return find(self.backend, package="nas.hardware.backends", attribute="Backend")()
        except ValueError as error:
            raise FieldError("backend", str(error)) from error

    @property
    def is_remote(self) -> bool:
        """Whether another machine measures."""
        return self.device != "here"


class SshAddress(NamedTuple):
    """Another machine: its host as `ssh` takes it, with the user; its port; whether its CUDA device is meant."""

    host: str
    port: int | None
    cuda: bool


def ssh_address(device: str) -> SshAddress:
    """Return what ``ssh://user@host[:port][/cuda]`` says.

    Raises:
        ValueError: The device is neither this machine nor reached through ssh.
    """
    match = _SSH.fullmatch(device)
    port = int(match["port"]) if match and match["port"] else None
    if match is None or (port is not None and not 0 < port < 65536):
        raise FieldError("device", f"must be here or ssh://user@host[:port], got {device!r}")
    user = f"{match['user']}@" if match["user"] else ""
    return SshAddress(f"{user}{match['host']}", port, match["place"] == "cuda")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """All that a latency depends on besides the network: the key of every number.

    Args:
        device: Name of the device, for people.
        backend: What ran the network, with its version.
        batch_size: Inputs of one forward pass.
        precision: Precision of weights and activations.
        threads: CPU threads of one forward pass.
        input_shape: Shape of the input without the batch, such as [C, H, W]; a list of shapes where there are several
            inputs.
        decode: Tokens that were written one by one; None for one forward pass.
    """

    device: str
    backend: str
    batch_size: int
    precision: str
    threads: int
    input_shape: tuple[int, ...] | tuple[tuple[int, ...], ...]
    decode: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON keeps it; what has no meaning is left out."""
        given = {**asdict(self), "input_shape": list(self.input_shape)}
        return {name: value for name, value in given.items() if name != "decode" or value is not None}
