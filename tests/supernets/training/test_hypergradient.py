"""The gradient of the logits through the weights: closed forms, and two ways to the same products."""

import numpy as np
import pytest
import torch
from torch import nn

from supernets.training.hypergradient import Bilevel
from supernets.training.relaxation_config import RelaxationConfig

MODES = ("unrolled", "amended", "neumann")


def config(mode: str, **options) -> RelaxationConfig:
    return RelaxationConfig(method="softmax", hypergradient=mode, **options)


def quadratic(hessian: torch.Tensor, target: torch.Tensor, alpha: torch.Tensor, mixed: torch.Tensor) -> Bilevel:
    """L_train = w'Hw / 2 + alpha' D w, L_val = |w - target|^2 / 2, at the optimum of the weights."""
    weights = nn.Parameter(torch.linalg.solve(hessian, -(mixed.T @ alpha)))
    logits = nn.Parameter(alpha.clone())
    return Bilevel(
        train=lambda: weights @ hessian @ weights / 2 + logits @ mixed @ weights,
        validation=lambda: (weights - target).square().sum() / 2,
        weights=[weights],
        logits=[logits],
    )


def example() -> Bilevel:
    """L_train = w'Hw / 2 - w'alpha with H = diag(1, 10), alpha = (.3, -.2); the target is (1, 1)."""
    hessian = torch.diag(torch.tensor([1.0, 10.0])).double()
    alpha = torch.tensor([0.3, -0.2]).double()
    return quadratic(hessian, torch.ones(2).double(), alpha, -torch.eye(2).double())


@pytest.mark.parametrize("exact", [False, True])
def test_a_quadratic_has_the_known_gradients(exact):
    problem = example()
    assert problem.weights[0].tolist() == pytest.approx([0.3, -0.02])

    def through(mode: str, **options) -> list[float]:
        settings = config(mode, exact=exact, **options)
        return problem.hypergradient(settings, settings.factor(lr=0.1)).total[0].tolist()

    assert through("amended") == pytest.approx([-0.07, -1.02])  # .1 H v with v = (-.7, -1.02)
    assert through("neumann", terms=0) == pytest.approx([-0.07, -0.102])  # lr v
    assert through("neumann", terms=500) == pytest.approx([-0.7, -0.102])  # the true one, H^-1 v
    assert through("unrolled") == pytest.approx([-0.07, -0.102])  # at the optimum a step changes nothing


def test_the_true_gradient_is_that_of_the_solved_problem():
    alpha, step = torch.tensor([0.3, -0.2]).double(), 1e-6
    inverse = torch.diag(torch.tensor([1.0, 0.1])).double()

    def solved(at: torch.Tensor) -> float:
        return float((inverse @ at - 1).square().sum() / 2)

    unit = torch.eye(2).double()
    numeric = [(solved(alpha + step * way) - solved(alpha - step * way)) / (2 * step) for way in unit]
    found = example().hypergradient(config("neumann", terms=500, eta=0.1), 0.1).total[0]
    assert found.tolist() == pytest.approx(numeric, abs=1e-6)


def test_the_amended_part_may_point_the_other_way():
    """With D = (1, -1), H = diag(1, 10) and v = (1, 1) the true part is -0.9, -D H v is 9: nobody should mend it."""
    hessian, mixed = torch.diag(torch.tensor([1.0, 10.0])).double(), torch.tensor([[1.0, -1.0]]).double()
    problem = quadratic(hessian, torch.tensor([-1.0, -1.0]).double(), torch.zeros(1).double(), mixed)
    amended = problem.hypergradient(config("amended", eta=1.0), 1.0).total[0]
    true = problem.hypergradient(config("neumann", terms=800, eta=0.1), 0.1).total[0]
    assert amended.tolist() == pytest.approx([9.0])
    assert true.tolist() == pytest.approx([-0.9])


def test_the_amended_part_is_a_multiple_of_the_true_one_where_curvature_is_the_same_everywhere():
    curvature, eta = 3.0, 0.2
    problem = quadratic(
        curvature * torch.eye(3).double(),
        torch.tensor([1.0, -2.0, 0.5]).double(),
        torch.tensor([0.4, 0.1]).double(),
        torch.tensor([[1.0, -1.0, 0.3], [0.2, 0.7, -0.5]]).double(),
    )
    amended = problem.hypergradient(config("amended", eta=eta), eta).total[0]
    true = problem.hypergradient(config("neumann", terms=200, eta=0.1), 0.1).total[0]
    assert torch.allclose(amended, eta * curvature**2 * true)


def perceptron() -> tuple[nn.Module, Bilevel]:
    """Two layers, the units of the hidden one weighed by a softmax."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    logits = nn.Parameter(torch.randn(8) * 0.3)
    data = [(torch.randn(16, 5), torch.randint(3, (16,))) for _ in range(2)]

    def loss(which: int):
        x, labels = data[which]
        hidden = network[1](network[0](x)) * 8 * logits.softmax(0)
        return nn.functional.cross_entropy(network[2](hidden), labels)

    return network, Bilevel(lambda: loss(0), lambda: loss(1), list(network.parameters()), [logits])


@pytest.mark.parametrize("mode", MODES)
def test_finite_differences_agree_with_exact_products_and_leave_the_weights_alone(mode):
    network, problem = perceptron()
    before = [weight.detach().clone() for weight in network.parameters()]
    direct = problem.hypergradient(config("first"), 0.0).total[0]
    found = {}
    for exact in (False, True):
        result = problem.hypergradient(config(mode, exact=exact, eta=0.5), 0.5)
        found[exact] = result.total[0] - direct
        assert result.cosine is not None
        assert -1 <= float(result.cosine) <= 1
    assert float((found[False] - found[True]).norm() / found[True].norm()) < 1e-2
    assert all(torch.equal(weight, kept) for weight, kept in zip(network.parameters(), before))
    assert all(weight.grad is None for weight in network.parameters())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("exact", [False, True])
def test_no_second_part_is_first_order_to_the_last_bit(mode, exact):
    _, problem = perceptron()
    first = problem.hypergradient(config("first"), 0.0)
    assert first.cosine is None
    nothing = problem.hypergradient(config(mode, exact=exact, eta=0.0), 0.0)
    assert torch.equal(first.total[0], nothing.total[0])


def test_the_second_part_can_be_held_below_a_multiple_of_the_first():
    _, problem = perceptron()
    direct = problem.hypergradient(config("first"), 0.0).total[0]
    held = problem.hypergradient(config("amended", largest_correction=0.5), 1e3).total[0] - direct
    assert float(held.norm()) == pytest.approx(0.5 * float(direct.norm()), rel=1e-4)


def test_a_gradient_that_vanishes_gives_no_second_part():
    weights, logits = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(2))
    problem = Bilevel(
        lambda: (weights * logits.sum()).square().sum(), lambda: logits.square().sum(), [weights], [logits]
    )
    for mode in MODES:
        assert problem.hypergradient(config(mode), 0.1).total[0].tolist() == [2.0, 2.0]


def test_the_factor_is_the_published_one_or_the_learning_rate():
    assert config("amended").factor(0.025) == 0.1
    assert config("unrolled").factor(0.025) == config("neumann").factor(0.025) == 0.025
    assert config("unrolled", eta=0.3).factor(0.025) == 0.3
    assert np.isfinite(config("neumann", terms=0).factor(1.0))
