"""The constrained evolutionary search of Once-for-All.

Paper: Cai et al., Once-for-All: Train One Network and Specialize it for Efficient Deployment, arXiv 1908.09791, section
on specialised deployment. Population 100; the best quarter are the parents of the next generation and survive; half of
it are mutants, half crossovers; rates 0.1, and 0.5 for the resolution, as in the released library.
Differs: candidates are evaluated as they are, where the paper asks its predictor in 500 generations; what is budgeted
is evaluations. Children that break an exact limit, or were evaluated before, are redrawn a limited number of times and
then moved until they do not: the release redraws without end and evaluates duplicates again. Limits on what is measured
put a candidate behind all that keep them. The paper has one objective; with several, parents are chosen by
non-dominated rank and crowding, as in NSGA-II. What the release redraws together, kernel size and expansion of a block,
are here all decisions whose names are equal up to the last dot.
"""

from collections.abc import Callable, Sequence

import numpy as np

from nas.searchers.new_architectures import NewArchitectures
from nas.searchers.non_dominated import best_first
from nas.searchers.searcher import Searcher
from search_spaces import Architecture, Space
from supernets.streams import OFA_EVOLUTION_NEW, SEARCHER

_REDRAWS = 32


class OfaEvolution(Searcher):
    """Evolution with surviving parents; a generation is what is told together.

    Decisions that are inactive in a candidate keep the value it inherited, for descendants in which they are active.

    Args:
        space: Space to search.
        objectives: Number of objectives.
        seed: Seed of the whole search.
        violation: Exact violations [N] of encodings [N, D].
        population: Children of a generation, and members of the first.
        parent_share: Share of the population that is kept as parents.
        mutation_share: Share of the children that are mutants; the others are crossovers.
        mutation_rate: Probability that a block, or a decision that belongs to none, is redrawn in a mutant.
        resolution_rate: The same for the decision `resolution`.
    """

    def __init__(
        self,
        space: Space,
        *,
        objectives: int,
        seed: int,
        violation: Callable[[np.ndarray], np.ndarray],
        population: int = 100,
        parent_share: float = 0.25,
        mutation_share: float = 0.5,
        mutation_rate: float = 0.1,
        resolution_rate: float = 0.5,
    ) -> None:
        shares = {"parent_share": parent_share, "mutation_share": mutation_share}
        for name, share in {**shares, "mutation_rate": mutation_rate, "resolution_rate": resolution_rate}.items():
            if not 0 <= share <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {share}")
        if population < 2:
            raise ValueError(f"population must be at least 2, got {population}")
        self.space, self.population, self.violation = space, population, violation
        self.mutants = round(mutation_share * population)
        self.parents = max(1, round(parent_share * population))
        self.generator = SEARCHER.generator(seed)
        self._new = NewArchitectures(space, violation, OFA_EVOLUTION_NEW.generator(seed))
        self._groups, self._rates = _groups(space, mutation_rate, resolution_rate)
        self._genes = np.empty((0, len(space.decisions)), dtype=np.int64)  # values of the parents, inactive ones too
        self._losses, self._violations = np.empty((0, objectives)), np.empty(0)
        self._asked: dict[Architecture, np.ndarray] = {}
        self._first_told = 0

    def ask(self, pending: Sequence[Architecture] = ()) -> list[Architecture]:
        missing = self.population - self._first_told
        if missing > 0:
            genes = self._new.random(missing)
        else:
            genes = self._children()
        architectures = [self.space.decode(row) for row in genes]
        self._asked.update(zip(architectures, genes))
        return architectures

    def tell(self, architectures: Sequence[Architecture], losses: np.ndarray, violations: np.ndarray) -> None:
        told = [self._asked[a] if a in self._asked else self.space.encode(a) for a in architectures]
        self._first_told += len(architectures)
        self._genes = np.concatenate([self._genes, told])
        self._losses = np.concatenate([self._losses, losses])
        self._violations = np.concatenate([self._violations, violations])
        if self._first_told >= self.population:
            self._select()
        self._new.tell(architectures)
        self._asked.clear()

    def _select(self) -> None:
        """Keep the parents of the next generation."""
        order = best_first(self._losses, self._violations)
        # told twice, as where a space is nearly exhausted, a candidate is one parent
        _, first = np.unique(self.space.canonical(self._genes[order]), axis=0, return_index=True)
        kept = order[np.sort(first)[: self.parents]]
        self._genes, self._losses, self._violations = self._genes[kept], self._losses[kept], self._violations[kept]

    def _children(self) -> np.ndarray:
        """Return genes [N, D] of the next generation, mutants first."""
        mutants = self._accepted(self._mutants, self.mutants, np.empty((0, self._genes.shape[1]), dtype=np.int64))
        children = self._accepted(self._crossovers, self.population - self.mutants, mutants)
        forms = self._new.take(self.space.canonical(children), self.population)
        inherited = {form.tobytes(): genes for form, genes in zip(self.space.canonical(children), children)}
        return np.array([inherited.get(form.tobytes(), form) for form in forms]).reshape(forms.shape)

    def _accepted(self, breed: Callable[[int], np.ndarray], n: int, before: np.ndarray) -> np.ndarray:
        """Return the given encodings [M, D], followed by `n` distinct new children within exact limits.

        There are fewer children where few such are drawn.
        """
        found = before
        for _ in range(_REDRAWS):
            missing = len(before) + n - len(found)
            if missing == 0:
                break
            genes = breed(missing)
            genes = genes[self.space.valid(genes)]
            if len(genes) == 0:
                continue
            forms = self.space.canonical(genes)
            genes = genes[~self._new.is_told(forms) & (self.violation(forms) <= 0)]
            found = np.concatenate([found, genes])
            _, first = np.unique(self.space.canonical(found), axis=0, return_index=True)
            found = found[np.sort(first)]
        return found

    def _mutants(self, n: int) -> np.ndarray:
        parents = self._genes[self.generator.integers(len(self._genes), size=n)]
        redrawn = self.generator.integers(0, self.space.choice_counts, size=parents.shape)
        chosen = self.generator.random((n, len(self._rates))) < self._rates
        return np.where(chosen[:, self._groups], redrawn, parents)

    def _crossovers(self, n: int) -> np.ndarray:
        first, second = (self._genes[self.generator.integers(len(self._genes), size=n)] for _ in range(2))
        return np.where(self.generator.random(first.shape) < 0.5, first, second)


def _groups(space: Space, rate: float, resolution_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which group each decision belongs to [D], and the rate of each group [G]."""
    names = [d.name.rpartition(".")[0] or d.name for d in space.decisions]
    distinct = list(dict.fromkeys(names))
    rates = np.array([resolution_rate if name == "resolution" else rate for name in distinct])
    return np.array([distinct.index(name) for name in names]), rates
