"""Elastic choice: one of several operations, or a mixture of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from search_spaces.architecture import Choice, Relaxation, Setting, Weight
from search_spaces.elastic.layer import Elastic, extracted, following_layers


class ElasticChoice(Elastic):
    """The operation that a decision chooses; operations are modules with weights of their own.

    A mixture runs every operation that has a weight and adds up the weighted outputs. Choices that have one module
    together are entangled: the module mixes their weights itself, in its layers that follow the decision, and its
    output is added as it is. Its name is that of the last of them.

    Args:
        decision: Its name.
        operations: Module of each choice; None for a choice that gives nothing, such as an edge that is not there.
    """

    def __init__(self, decision: str, operations: Mapping[Choice, nn.Module | None]) -> None:
        super().__init__()
        self.decision = decision
        self.choices = tuple(operations)
        last = {id(module): choice for choice, module in operations.items() if module is not None}
        self._keys = {choice: _key(last.get(id(module), choice)) for choice, module in operations.items()}
        self._entangled = {one for one in self._keys.values() if list(self._keys.values()).count(one) > 1}
        self.operations = nn.ModuleDict(
            {self._keys[choice]: module for choice, module in operations.items() if module is not None}
        )
        self._layers: dict[Choice, list[Elastic]] = {}
        self._active: list[tuple[Weight | None, nn.Module]] = []
        self._run({self.choices[-1]: None})

    def operation(self, choice: Choice) -> nn.Module | None:
        """Return the module of a choice."""
        return self.operations._modules.get(self._keys[choice])

    def activate(self, setting: Setting) -> None:
        chosen = setting.get(self.decision)
        if chosen is None:
            return
        weights: Mapping[Choice, Weight | None] = chosen if isinstance(chosen, Mapping) else {chosen: None}
        self._run(weights)
        for choice in weights:
            within = self._within(choice, chosen, setting) if isinstance(chosen, Mapping) else setting
            for layer in self._layers_of(choice):
                layer.activate(within)

    def _within(self, choice: Choice, weights: Mapping[Choice, Weight], setting: Setting) -> Setting:
        """Return what the module of a choice follows: the weights of those it is entangled with alone."""
        key = self._keys[choice]
        if key not in self._entangled:
            return setting
        return Relaxation({**setting, self.decision: {one: w for one, w in weights.items() if self._keys[one] == key}})

    def _layers_of(self, choice: Choice) -> list[Elastic]:
        """Return the elastic layers inside an operation that follow a decision, found once."""
        if choice not in self._layers:
            module = self.operation(choice)
            self._layers[choice] = [] if module is None else following_layers(module)
        return self._layers[choice]

    def _run(self, weights: Mapping[Choice, Weight | None]) -> None:
        """Let these choices run, with these weights; None for one that runs alone."""
        self._active.clear()
        entangled: set[str] = set()
        for choice, weight in weights.items():
            key = self._keys[choice]
            if key in entangled or (module := self.operation(choice)) is None:
                continue
            if key in self._entangled:
                entangled.add(key)
                if all(_is_nothing(w) for one, w in weights.items() if self._keys[one] == key):
                    continue  # a norm would make something of nothing
            self._active.append((None if key in self._entangled else weight, module))

    def governed(self) -> Iterator[tuple[str, Choice, nn.Module]]:
        for choice in self.choices:
            module = self.operation(choice)
            if module is not None:
                yield self.decision, choice, module

    def forward(self, x: Tensor) -> Tensor | None:
        """Return the output of what runs; None where nothing does."""
        total: Tensor | None = None
        for weight, module in self._active:
            out = module(x) if weight is None else module(x) * weight
            total = out if total is None else total + out
        return total

    def extract(self) -> nn.Module | None:
        if any(weight is not None for weight, _ in self._active):
            raise ValueError(f"{self.decision} is a mixture of choices: activate an architecture before extracting it")
        return extracted(self._active[0][1]) if self._active else None


def _is_nothing(weight: Weight | None) -> bool:
    return isinstance(weight, int | float) and weight == 0


def _key(choice: Choice) -> str:
    """Return a choice as the name of a module, which may have no dots and not be a method of `nn.Module`."""
    return "choice_" + str(choice).replace(".", "_")
