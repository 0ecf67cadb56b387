"""Given weights of a model: read, compared with the model, and put into its elastic network under the same names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from search_spaces.errors import FieldError
from search_spaces.weights.files import read_weights
from search_spaces.weights.found import FoundWeights
from search_spaces.weights.hub import FIELD, pretrained_file

if TYPE_CHECKING:
    from torch import Tensor, nn

    from search_spaces.traced_spaces.sources import OwnModule, TimmModel

Head = Literal["new", "kept"]
Heads = tuple[str, ...]
Tensors = dict[str, "Tensor"]
_NAMED = 3
_TRACKED = "num_batches_tracked"


@dataclass(frozen=True, kw_only=True)
class GivenWeights(FoundWeights):
    """The weights that a classifier of images was trained to before.

    Args:
        source: The model, with the classes and channels of the user's data.
        checkpoint: File of the weights; None for the pretrained ones of timm.
        head: `new` for a classifier with fresh weights; `kept` for that of the weights, which must have as many classes
            as the data, in the same order.
    """

    source: TimmModel | OwnModule
    checkpoint: str | None = None
    head: Head = "new"

    @classmethod
    def of(
        cls, source: TimmModel | OwnModule, *, pretrained: bool, checkpoint: str | None, head: str
    ) -> GivenWeights | None:
        """Return the weights that the options of a space name; None for fresh ones.

        Raises:
            FieldError: An option has a value that it cannot have, or that says nothing together with the others.
        """
        for field, given, kind in ((FIELD, pretrained, bool), ("checkpoint", checkpoint, str | None)):
            if not isinstance(given, kind):
                allowed = "true or false" if field == FIELD else "a file of weights, or null"
                raise FieldError(field, f"must be {allowed}, got {given!r}")
        if head not in ("new", "kept"):
            raise FieldError("head", f"must be new or kept, got {head!r}")
        if not pretrained and checkpoint is None:
            if head == "kept":
                raise FieldError(
                    "head", "must be new where no weights are given by pretrained or checkpoint, got 'kept'"
                )
            return None
        if checkpoint is None and ":" in source.model:
            raise FieldError(
                FIELD, f"must be false, weights of {source.model} are given as a file by checkpoint; got true"
            )
        return cls(source=source, checkpoint=checkpoint, head="kept" if head == "kept" else "new")

    def __call__(self, network: nn.Module) -> None:
        """Copy all weights but those of a new head; see `FoundWeights`."""
        self.put(network.state_dict())

    def put(self, own: Mapping[str, Tensor]) -> None:
        """Copy all weights but those of a new head into tensors with the names of the model.

        Raises:
            FieldError: As a call.
        """
        import torch

        given = self._tensors()
        with torch.no_grad():
            for name, tensor in given.items():
                own[name].copy_(tensor)
            for name, tensor in own.items():
                if name not in given and name.endswith(".weight") and tensor.ndim == 2:
                    tensor.mul_(_shrinkage(tensor))

    def check(self) -> None:
        """Read the weights and compare them with the model; see `FoundWeights`."""
        self._tensors()

    def describe(self) -> str:
        """Return where the weights come from and what becomes of the head."""
        where = f"weights of {self.checkpoint}" if self.checkpoint else "pretrained weights of timm"
        head = "its classifier is kept" if self.head == "kept" else f"with a new classifier of {self.source.classes}"
        return f"{self.source.name} begins with the {where}, {head} classes"

    # ---- the tensors that are put into the network ----------------------------------------------------------------

    def _tensors(self) -> dict[str, Tensor]:
        """Return what is put into the network: everything that the weights have but a new head."""
        import torch

        from search_spaces.traced_spaces.sources import TimmModel

        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            source = self.source
            found = self._of_timm(source) if isinstance(source, TimmModel) else self._of_own(source)
        tensors, heads, classes = found
        self._check_head(classes)
        # a count of batches says nothing of a network that is trained anew
        kept = _without(tensors, () if self.head == "kept" else heads)
        return {name: tensor for name, tensor in kept.items() if not name.endswith(_TRACKED)}

    @property
    def _field(self) -> str:
        return "checkpoint" if self.checkpoint else FIELD

    def _check_head(self, classes: int | None) -> None:
        """Refuse to keep a head of other classes."""
        wanted = self.source.classes
        if self.head == "kept" and classes != wanted:
            has = f"{classes} classes" if classes else "no classifier"
            raise FieldError("head", f"must be new, the weights have {has} and the data {wanted}; got 'kept'")

    def _of_timm(self, source: TimmModel) -> tuple[Tensors, Heads, int | None]:
        """Return the tensors of a model of timm as its own code reads them, its heads, and their classes."""
        from timm.models import get_pretrained_cfg

        path = self.checkpoint or pretrained_file(source.model)
        read, config = read_weights(path, field=self._field), get_pretrained_cfg(source.model)
        heads = _heads(config.classifier)
        failed: Exception | None = None
        for classes in _classes_in(read, heads, config.num_classes):
            try:
                return source.loaded(read, classes).state_dict(), heads, classes or None
            except Exception as error:  # timm converts weights of many kinds, and fails in as many ways
                failed = failed or error
        wrong = differences(_without(read, heads), _without(source.module().state_dict(), heads))
        raise FieldError(self._field, f"{path} is not of {source.name}: {wrong or _line(failed)}") from failed

    def _of_own(self, source: OwnModule) -> tuple[Tensors, Heads, int | None]:
        """Return the tensors of a file for a model of the user's own, its head, and the classes in it."""
        assert self.checkpoint is not None
        read, module = read_weights(self.checkpoint, field="checkpoint"), source.module()
        heads, own = _last_layer(module, source.classes), module.state_dict()
        if wrong := differences(_without(read, heads), _without(own, heads)):
            raise FieldError("checkpoint", f"{self.checkpoint} is not of {source.name}: {wrong}")
        return read, heads, next(iter(_rows(read, heads)), None)


def _shrinkage(weight: Tensor) -> float:
    """Return the factor that brings a new head to the scale of torch's own initialisation, where it is far above it.

    Families that were initialised for 1,000 classes give heads of few classes logits so large that the first steps of
    a training spoil the weights below.
    """
    usual, own = (3 * weight.shape[1]) ** -0.5, float(weight.std())
    return usual / own if own > 2 * usual else 1.0


def _without(tensors: Mapping[str, Tensor], heads: Heads) -> Tensors:
    """Return all tensors but those of heads."""
    return {name: tensor for name, tensor in tensors.items() if name.rpartition(".")[0] not in heads}


def differences(read: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """Return the first names and shapes in which weights and a network differ; empty where they agree."""
    parts = []
    if missing := [name for name in own if name not in read and not name.endswith(_TRACKED)]:
        parts.append(f"it has no {_first(missing)}")
    if unknown := [name for name in read if name not in own and not name.endswith(_TRACKED)]:
        parts.append(f"the network has no {_first(unknown)}")
    shapes = [
        f"{name} is {list(read[name].shape)} there and {list(tensor.shape)} in the network"
        for name, tensor in own.items()
        if name in read and read[name].shape != tensor.shape
    ]
    if shapes:
        parts.append(shapes[0] + (f" and {len(shapes) - 1} more" if len(shapes) > 1 else ""))
    return "; ".join(parts)


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _classes_in(read: Mapping[str, Tensor], heads: Heads, usual: int) -> list[int]:
    """Return how many classes weights may have, the likeliest first; those that timm must convert do not show it."""
    return _rows(read, heads)[:1] or list(dict.fromkeys([usual, 0]))


def _rows(read: Mapping[str, Tensor], heads: Heads) -> list[int]:
    """Return the number of outputs of every head that weights have."""
    return [read[f"{head}.weight"].shape[0] for head in heads if f"{head}.weight" in read]


def _heads(classifier: str | Iterable[str] | None) -> Heads:
    """Return the names of the classifiers of a model."""
    return () if classifier is None else (classifier,) if isinstance(classifier, str) else tuple(classifier)


def _last_layer(module: nn.Module, classes: int) -> Heads:
    """Return the name of the last layer with one output for each class."""
    from torch import nn

    found: Heads = ()
    for name, layer in module.named_modules():
        outputs = layer.out_features if isinstance(layer, nn.Linear) else None
        outputs = layer.out_channels if isinstance(layer, nn.Conv2d) else outputs
        found = (name,) if outputs == classes else found
    return found


def _line(error: Exception | None) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
