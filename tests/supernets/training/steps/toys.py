"""Two steps that are no supernets: a bilevel one and an adversarial one, as small as they can be."""

from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import nn

from supernets import LoopConfig, Run, Step, Stretch, train_steps
from tests.supernets.helpers import Rows

SIZE, DECAY = 6, 0.5
PACKED = 4
SHIFT, TARGET = torch.linspace(-1, 1, SIZE), torch.linspace(2, 0.5, SIZE)
ANSWER = (TARGET - SHIFT) / (1 + DECAY)
"""Where the bilevel problem of `Bilevel` has its optimum: alpha, with the weights at alpha + SHIFT."""


class Bilevel(Step):
    """Weights learn from one half of a batch, architecture weights from the other, through one step of the weights.

    Inner problem: w*(alpha) = argmin |w - alpha - shift|^2 / 2; outer one: |w* - target|^2 / 2 + decay |alpha|^2 / 2.
    Every step sees some of the coordinates only, as a sampler would draw them.
    """

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.weights, self.alpha = nn.Parameter(torch.zeros(SIZE)), nn.Parameter(torch.zeros(SIZE))
        self.optimizers = {
            "weights": torch.optim.SGD([self.weights], lr=0.1, momentum=0.5),
            "alpha": torch.optim.Adam([self.alpha], lr=0.1),
        }

    def __call__(self, batch, moment):
        shift, target = batch
        chosen = torch.from_numpy(moment.generator.random(SIZE) < 0.7)
        for optimizer in self.optimizers.values():
            optimizer.param_groups[0]["lr"] = moment.lr
        inner = self._inner(self.weights, shift, chosen)
        (gradient,) = torch.autograd.grad(inner, self.weights, create_graph=True)
        found = self.weights - gradient  # the inner problem is quadratic: one step solves it
        outer = (found - target.mean(0)).square() + DECAY * self.alpha.square()
        ((outer * chosen).sum() / 2).backward(inputs=[self.alpha])
        self.optimizers["alpha"].step()
        self.optimizers["alpha"].zero_grad()
        loss = self._inner(self.weights, shift, chosen)
        loss.backward(inputs=[self.weights])
        self.optimizers["weights"].step()
        self.optimizers["weights"].zero_grad()
        return loss.detach()

    def _inner(self, weights, shift, chosen):
        return ((weights - self.alpha - shift.mean(0)) * chosen).square().sum() / 2

    def end_epoch(self, epoch, progress):
        return {"event": "alpha", "alpha": self.alpha.tolist()}

    def state_dict(self):
        state = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        return deepcopy({**state, "values": [self.weights.detach(), self.alpha.detach()]})

    def load_state_dict(self, state):
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(deepcopy(state[name]))
        with torch.no_grad():
            for parameter, value in zip((self.weights, self.alpha), state["values"]):
                parameter.copy_(value)


def packed(numbers: torch.Tensor) -> torch.Tensor:
    return numbers.reshape(-1, PACKED)


def layers(inputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 24), nn.LeakyReLU(0.2), nn.Linear(24, 24), nn.LeakyReLU(0.2), nn.Linear(24, 1)
    )


class Adversarial(Step):
    """A generator and a discriminator of numbers, an optimizer for each; noise comes from torch's generator.

    The discriminator sees four numbers at once, so that one half of a mixture does not pass for the whole.
    """

    device = torch.device("cpu")

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.networks = {"generator": layers(2), "discriminator": layers(PACKED)}
        self.optimizers = {
            name: torch.optim.Adam(network.parameters(), betas=(0.5, 0.99)) for name, network in self.networks.items()
        }

    def __call__(self, batch, moment):
        (real,) = batch
        fake = self.generate(len(real))
        judge = self.networks["discriminator"]
        told_apart = F.softplus(-judge(packed(real))).mean() + F.softplus(judge(packed(fake.detach()))).mean()
        self._update("discriminator", told_apart, moment.lr)
        self._update("generator", F.softplus(-judge(packed(fake))).mean(), moment.lr)
        return told_apart.detach()

    def _update(self, name, loss, lr):
        optimizer = self.optimizers[name]
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        loss.backward(inputs=list(self.networks[name].parameters()))
        optimizer.step()

    def generate(self, count):
        return self.networks["generator"](torch.randn(count, 2))

    def state_dict(self):
        networks = {name: network.state_dict() for name, network in self.networks.items()}
        optimizers = {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()}
        return deepcopy({"networks": networks, "optimizers": optimizers})

    def load_state_dict(self, state):
        for name in self.networks:
            self.networks[name].load_state_dict(state["networks"][name])
            self.optimizers[name].load_state_dict(deepcopy(state["optimizers"][name]))


def solve(pause_s: float = 0.0, **run) -> Bilevel:
    """Train the bilevel step, in two stretches."""
    step, rows = Bilevel(), 64
    data = Rows(SHIFT.expand(rows, -1), TARGET.expand(rows, -1), pause_s=pause_s)
    schedule = [Stretch(name=name, epochs=50, lr=0.1, warmup_fraction=0.0) for name in ("coarse", "fine")]
    train_steps(step, schedule, data, LoopConfig(batch_size=8, checkpoint_every_s=0), Run(seed=4, **run))
    return step


def imitate(pause_s: float = 0.0, **run) -> Adversarial:
    """Train the adversarial step on a mixture of two normal distributions at -2 and 2."""
    generator = torch.Generator().manual_seed(0)
    sides = torch.randint(2, (1024, 1), generator=generator) * 4.0 - 2.0
    data = Rows(sides + 0.3 * torch.randn(1024, 1, generator=generator), pause_s=pause_s)
    schedule = [Stretch(name="both", epochs=40, lr=0.005, warmup_fraction=0.0)]
    step = Adversarial()
    train_steps(step, schedule, data, LoopConfig(batch_size=64, checkpoint_every_s=0), Run(seed=4, **run))
    return step


def flattened(state) -> list[torch.Tensor]:
    """All tensors of a nested state, in order."""
    if isinstance(state, torch.Tensor):
        return [state]
    inside = state.values() if isinstance(state, dict) else state if isinstance(state, list) else []
    return [tensor for part in inside for tensor in flattened(part)]
