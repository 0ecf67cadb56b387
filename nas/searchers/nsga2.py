"""NSGA-II on the integer encoding.

Paper: Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE TEC 6(2), 2002.
Differs: the operators are those of all generations here, see `nas.searchers.generations`.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from nas.searchers.generations import Generations

if TYPE_CHECKING:
    from pymoo.algorithms.base.genetic import GeneticAlgorithm


class NSGA2(Generations):
    """NSGA-II by pymoo's ask and tell; a generation is what is told together.

    An offspring that was evaluated before is asked for again, which costs nothing, and may rejoin the population.
    """

    replaces_known: ClassVar[bool] = False

    def _algorithm(self, objectives: int, **parts: Any) -> "GeneticAlgorithm":
        from pymoo.algorithms.moo.nsga2 import NSGA2 as PymooNSGA2

        return PymooNSGA2(**parts)
