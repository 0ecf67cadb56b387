"""Latency tables: measured blocks of a space, and the latency of any of its networks predicted from them.

Paper: the latency table of Once-for-All, arXiv 1908.09791, is the sum over measured blocks.
Differs: the sum is corrected by a model of networks measured whole, and every prediction has an interval.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np

from nas.hardware.block_work import BlockWork, block_work
from nas.hardware.latency_correction import LatencyCorrection
from nas.rank_agreement import spearman
from search_spaces import Architecture, Space
from supernets.estimate import Estimate

FORMAT = 1
Part = Literal["fit", "held_out"]
_OCTAVES = 6


@dataclass(frozen=True, kw_only=True)
class MeasuredNetwork:
    """One network measured whole.

    Attributes:
        architecture: Its architecture.
        latency: Latency in ms.
        part: Whether the correction was fitted to it, or is judged by it.
    """

    architecture: Architecture
    latency: Estimate
    part: Part


@dataclass(frozen=True, kw_only=True)
class PredictionErrors:
    """The errors of predictions on networks that nothing was fitted to.

    Attributes:
        networks: Number of networks.
        mape_percent: Mean absolute error, relative to what was measured.
        worst_percent: Largest absolute error.
        bias_percent: Mean error; more than 0 where predictions were too high.
        spearman: Rank correlation of predicted and measured.
        covered_percent: Share within their 95% intervals; None where there are no intervals.
    """

    networks: int
    mape_percent: float
    worst_percent: float
    bias_percent: float
    spearman: float
    covered_percent: float | None = None


def space_digest(space: Space) -> str:
    """Return what tells spaces apart whose networks differ: their decisions and the blocks that follow them."""
    decisions = [[d.name, list(d.choices), d.parent, list(d.active_when)] for d in space.decisions]
    keys = [block.key for block in space.blocks.distinct]
    return hashlib.sha256(json.dumps([decisions, keys]).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """A table that predicts the latency of every network of a space under the conditions of its measurement.

    Args:
        space: Space whose blocks were measured.
        options: Options of the space, for messages.
        conditions: Device, backend, batch size and so on, see `nas.hardware.latency.conditions`.
        blocks_ms: Latency of each distinct block of the space, in their order [M].
        work: What each block does.
        networks: Networks measured whole.
        seconds: Time that measuring took.
    """

    space: Space
    options: Mapping[str, Any]
    conditions: Mapping[str, Any]
    blocks_ms: Sequence[Estimate]
    work: Sequence[BlockWork]
    networks: Sequence[MeasuredNetwork]
    seconds: float = 0.0
    digest: str = field(default="", compare=False)

    # ---- prediction -----------------------------------------------------------------------------------------------

    def sums(self, encodings: np.ndarray) -> np.ndarray:
        """Return the sum of the block latencies [N] in ms of encodings [N, D]."""
        return self.space.blocks.totals(self._values[:, :1], encodings)[:, 0]

    def predict(self, encodings: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the latency [N] in ms of encodings [N, D], and the ends of its 95% interval [N], [N]."""
        return self.correction.predict(self._totals(encodings))

    def estimate(self, architecture: Architecture) -> Estimate:
        """Return the predicted latency of one architecture in ms, with its 95% interval."""
        return self.correction.estimate(self._totals(self.space.encode(architecture)[None])[0])

    @cached_property
    def correction(self) -> LatencyCorrection:
        """Fitted to the networks of part `fit`."""
        encodings, measured = self._measured("fit")
        return LatencyCorrection(self._totals(encodings), measured)

    def _totals(self, encodings: np.ndarray) -> np.ndarray:
        blocks = self.space.blocks
        totals = blocks.totals(self._values, encodings)
        unused = blocks.totals(self._values[:, :2], encodings, unused=True)
        return np.concatenate([totals, unused], axis=1)

    @cached_property
    def _values(self) -> np.ndarray:
        """The values of each block [M, 1 + K]: latency, 1, layers, millions of MACs, weights and activations; then its
        latency again, in the column of its resolution.
        """
        rows = np.array([
            [
                estimate.value,
                1.0,
                len(work.layers),
                1e-6 * work.macs,
                1e-6 * sum(layer.weights for layer in work.layers),
                1e-6 * sum(layer.activations for layer in work.layers),
            ]
            for estimate, work in zip(self.blocks_ms, self.work)
        ])  # fmt: skip
        sizes = np.array([max(block.input_shape[-1], 1) for block in self.space.blocks.distinct])
        octave = np.minimum(np.round(np.log2(sizes.max() / sizes)), _OCTAVES - 1).astype(int)
        by_octave = np.where(octave[:, None] == np.unique(octave), rows[:, :1], 0.0)
        return np.concatenate([rows, by_octave], axis=1)

    def _measured(self, part: Part) -> tuple[np.ndarray, np.ndarray]:
        chosen = [network for network in self.networks if network.part == part]
        encodings = [self.space.encode(network.architecture) for network in chosen]
        latencies = np.array([network.latency.value for network in chosen])
        return np.array(encodings, dtype=np.int64).reshape(len(chosen), len(self.space.decisions)), latencies

    # ---- how good it is -------------------------------------------------------------------------------------------

    def held_out(self) -> dict[str, PredictionErrors]:
        """Return the errors of plain and corrected sum on the networks of part `held_out`; empty without any."""
        encodings, measured = self._measured("held_out")
        if not len(measured):
            return {}
        predicted, low, high = self.predict(encodings)
        covered = 100 * float(np.mean((low <= measured) & (measured <= high)))
        return {
            "sum": prediction_errors(self.sums(encodings), measured),
            "corrected": prediction_errors(predicted, measured, covered_percent=covered),
        }

    # ---- as a file ------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        blocks = zip(self.space.blocks.distinct, self.blocks_ms, self.work)
        return {
            "latency_table": FORMAT,
            "space": {
                "name": self.space.name,
                "options": dict(self.options),
                "digest": self.digest or space_digest(self.space),
            },
            "conditions": dict(self.conditions),
            "seconds": round(self.seconds, 1),
            "held_out": {name: vars(error) for name, error in self.held_out().items()},
            "blocks": [{"key": block.key, **_as_json(ms), **work.to_json()} for block, ms, work in blocks],
            "networks": [
                {"architecture": n.architecture.to_json(), "part": n.part, **_as_json(n.latency)} for n in self.networks
            ],
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], space: Space) -> Self:
        """Return the table in a file, for the space that it was built for.

        Raises:
            ValueError: The file is not a table, or not of this space; the message says which.
        """
        if content.get("latency_table") != FORMAT:
            raise ValueError(f"no latency table of format {FORMAT} (latency_table: {content.get('latency_table')})")
        try:
            there = content["space"]
            if there["digest"] != space_digest(space):
                raise ValueError(f"it was built for another space ({there['name']}, {json.dumps(there['options'])})")
            if [row["key"] for row in content["blocks"]] != [block.key for block in space.blocks.distinct]:
                raise ValueError("damaged: its blocks are not those of the space")
            return cls(
                space=space,
                options=there["options"],
                conditions=content["conditions"],
                blocks_ms=[_from_json(row) for row in content["blocks"]],
                work=[BlockWork.from_json(row) for row in content["blocks"]],
                networks=[
                    MeasuredNetwork(
                        architecture=space.architecture(row["architecture"]), latency=_from_json(row), part=row["part"]
                    )
                    for row in content["networks"]
                ],
                seconds=content["seconds"],
                digest=there["digest"],
            )
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"damaged: {type(error).__name__} {error}") from error

    @property
    def fingerprint(self) -> str:
        """Tells tables apart that predict differently."""
        content = [[_as_json(ms) for ms in self.blocks_ms], [_as_json(n.latency) for n in self.networks]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def works(space: Space) -> list[BlockWork]:
    """Return what each distinct block of a space does."""
    return [block_work(block) for block in space.blocks.distinct]


def prediction_errors(
    predicted: np.ndarray, measured: np.ndarray, *, covered_percent: float | None = None
) -> PredictionErrors:
    """Return the errors of predictions [N] against measurements [N]."""
    errors = predicted / measured - 1
    return PredictionErrors(
        networks=len(measured),
        mape_percent=float(100 * np.abs(errors).mean()),
        worst_percent=float(100 * np.abs(errors).max()),
        bias_percent=float(100 * errors.mean()),
        spearman=spearman(predicted, measured),
        covered_percent=covered_percent,
    )


def _as_json(estimate: Estimate) -> dict[str, float | None]:
    return {"ms": estimate.value, "low": estimate.low, "high": estimate.high}


def _from_json(row: Mapping[str, Any]) -> Estimate:
    return Estimate(row["ms"], row["low"], row["high"])
