"""The section `latency` of a job: how latency is measured, or predicted."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from nas.hardware.config import LatencyConfig
from nas.offload.link import Link
from search_spaces.errors import FieldError
from search_spaces.limits import check_most
from service import catalogue

if TYPE_CHECKING:
    from nas.hardware.roofline import AnalyticDevice

_MOST = dict.fromkeys(("tflops", "bandwidth_gb_s", "overhead_us"), 1e9)


@dataclass(frozen=True, kw_only=True)
class AnalyticConfig:
    """A device for the objective `roofline_ms`, which is not measured: a listed one, or its peak figures.

    Args:
        device: Catalogue name (`nas list device`) or `package.module:function`.
        tflops: Peak arithmetic in 1e12 operations a second; a multiply-accumulate is two.
        bandwidth_gb_s: Peak memory traffic in 1e9 bytes a second.
        overhead_us: Time to start a layer, in microseconds.
    """

    device: str | None = None
    tflops: float | None = None
    bandwidth_gb_s: float | None = None
    overhead_us: float | None = None

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        figures = (self.tflops, self.bandwidth_gb_s, self.overhead_us)
        if self.device is not None and any(figure is not None for figure in figures):
            raise FieldError("device", f"must be null where tflops and the like are given, got {self.device!r}")
        for name in ("tflops", "bandwidth_gb_s"):
            value = getattr(self, name)
            if self.device is None and not (value is not None and value > 0):
                raise FieldError(name, f"must be more than 0 where no device is named, got {value}")
        if self.overhead_us is not None and self.overhead_us < 0:
            raise FieldError("overhead_us", f"must be at least 0, got {self.overhead_us}")

    def resolve(self) -> "AnalyticDevice":
        """Return the device.

        Raises:
            ValueError: There is nothing of that name.
        """
        if self.device is not None:
            return catalogue.make("device", self.device)
        from nas.hardware.roofline import AnalyticDevice

        assert self.tflops is not None
        assert self.bandwidth_gb_s is not None
        device = AnalyticDevice(tflops=self.tflops, bandwidth_gb_s=self.bandwidth_gb_s)
        return device if self.overhead_us is None else replace(device, overhead_us=self.overhead_us)


@dataclass(frozen=True, kw_only=True)
class PublishedConfig:
    """Latencies that others measured and described by HAT's ten features, for the objective `published_ms`.

    Args:
        table: File of comma-separated values, or the same with gzip: columns `task`, `device`, the features, and the
            milliseconds of encoder and decoder.
        task: Task of the networks, such as `wmt14ende`; `null` where the table has one.
        device: Device, such as `cpu_raspberrypi`; `null` where the table has one.
        part: What takes the time: `decoder`, token by token; `encoder`; or `both`.
    """

    table: str
    task: str | None = None
    device: str | None = None
    part: Literal["encoder", "decoder", "both"] = "both"


@dataclass(frozen=True, kw_only=True)
class LatencySection(LatencyConfig):
    """How latency is measured, and how the search predicts it, if it does.

    Args:
        table: File that `nas profile --table` wrote for this space, device and settings. The search then predicts
            `latency_ms` from it, keeps a limit by the upper end of the 95% interval, and measures only the front.
        analytic: Device that the objective `roofline_ms` is computed for, by its data sheet.
        published: Published latencies that the objective `published_ms` is predicted from; for spaces of HAT.
        link: The link between device and server, for the objective `end_to_end_ms` of networks in two halves: the half
            on the device is measured as the rest of this section says.
        server: How the half on the server is measured, and where; `null` for the settings of the device.
    """

    table: str | None = None
    analytic: AnalyticConfig | None = None
    published: PublishedConfig | None = None
    link: Link | None = None
    server: LatencyConfig | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.server is not None and self.server.decode is not None:
            raise FieldError("server.decode", f"must be null for half of a network, got {self.server.decode}")

    def make_backend(self) -> Any:
        """Return the backend of the catalogue, or the user's own.

        Raises:
            ValueError: There is nothing of that name.
        """
        return catalogue.make("backend", self.backend)
