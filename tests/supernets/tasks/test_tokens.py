"""Language modelling: what is lost at each token, and what follows for a network."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from search_spaces.errors import FieldError
from supernets.tasks import Language, MaskedLanguage
from supernets.tasks.token_ids import PADDING
from supernets.tasks.token_task import perplexity_scores
from tests.supernets.tasks.writers import VOCABULARY, pairs, texts


def batch():
    _, before, target = pairs()
    return before, target


def network():
    torch.manual_seed(0)
    return nn.Embedding(VOCABULARY, VOCABULARY).requires_grad_(False)


def logp(output):
    return output.detach().double().log_softmax(-1)


def by_hand(output, target):
    """Return the loss of each token, row by row."""
    return [[-float(logp(output)[i, t, token]) for t, token in enumerate(row) if token] for i, row in enumerate(target)]


def test_every_token_has_the_same_weight():
    before, target = batch()
    output = network()(before)
    each = by_hand(output, target.tolist())
    mean = sum(map(sum, each)) / sum(map(len, each))
    assert float(Language().loss(output, (before, target))) == pytest.approx(mean, rel=1e-5)
    first = 3.0 * sum(each[0]) / sum(map(len, each))
    weights = torch.zeros(len(target)).index_fill(0, torch.tensor(0), 3.0)
    assert float(Language().loss(output, (before, target), weights=weights)) == pytest.approx(first, rel=1e-5)


def test_parts_of_a_batch_add_up_by_their_terms():
    before, target = batch()
    output, task = network()(before), Language(label_smoothing=0.1)
    whole = task.loss(output, (before, target)) * task.terms((before, target))
    parts = [(output[a:b], (before[a:b], target[a:b])) for a, b in ((0, 2), (2, 9))]
    assert float(sum(task.loss(out, part) * task.terms(part) for out, part in parts)) == pytest.approx(float(whole))


def test_smoothing_spreads_a_part_of_the_target():
    before, target = batch()
    output = network()(before)
    there = target != PADDING
    right, spread = (logp(output).gather(2, target[..., None])[..., 0], logp(output).mean(-1))
    expected = -(0.8 * right[there].mean() + 0.2 * spread[there].mean())
    smooth = Language(label_smoothing=0.2)
    assert float(smooth.loss(output, (before, target))) == pytest.approx(float(expected), rel=1e-5)
    weighted = smooth.loss(output, (before, target), weights=torch.ones(len(target)))
    assert float(weighted) == pytest.approx(float(expected), rel=1e-5)
    assert smooth.plain() == Language()


def test_padding_has_no_gradient():
    before, target = batch()
    output = network()(before).detach().requires_grad_()
    for options in ({}, {"teacher": torch.randn_like(output)}, {"weights": torch.rand(len(target))}):
        (gradient,) = torch.autograd.grad(Language().loss(output, (before, target), **options), output)
        assert gradient[target == PADDING].abs().max() == 0
        assert gradient[target != PADDING].abs().min() > 0


def test_perplexity_is_that_of_all_tokens():
    before, target = batch()
    net = network()
    each = [loss for row in by_hand(net(before), target.tolist()) for loss in row]
    found = Language(label_smoothing=0.3).evaluate(net, [(before[:4], target[:4]), (before[4:], target[4:])])
    assert found.value == pytest.approx(math.exp(np.mean(each)), rel=1e-5)
    even = nn.Embedding(VOCABULARY, VOCABULARY, _weight=torch.zeros(VOCABULARY, VOCABULARY))
    assert Language().evaluate(even, [(before, target)]).value == pytest.approx(VOCABULARY)


def test_gaps_alone_are_judged():
    before, target = batch()
    gaps = target.masked_fill(torch.arange(target.shape[1]) != 1, PADDING)
    gaps[0, 1] = 5
    net = network()
    each = [loss for row in by_hand(net(before), gaps.tolist()) for loss in row]
    assert MaskedLanguage().evaluate(net, [(before, gaps)]).value == pytest.approx(math.exp(np.mean(each)), rel=1e-5)


def test_scores_have_the_spread_of_the_perplexity_over_samples():
    generator = np.random.default_rng(0)
    tokens = generator.integers(3, 30, 800)
    lost = generator.gamma(4.0, 0.6, 800) * tokens
    scores = perplexity_scores(lost, tokens)
    assert scores.mean() == pytest.approx(math.exp(lost.sum() / tokens.sum()))
    samples = generator.integers(0, 800, (2000, 800))
    spread = np.exp(lost[samples].sum(1) / tokens[samples].sum(1)).std()
    assert scores.std(ddof=1) / math.sqrt(800) == pytest.approx(spread, rel=0.1)


def test_the_worst_lines_have_the_highest_loss_of_a_token():
    before, target = batch()
    net = network()
    outcomes = Language().outcomes(net, [(before, target)])
    means = [np.mean(row) for row in by_hand(net(before), target.tolist())]
    assert [one.example for one in Language().mistakes(outcomes, most=3)] == np.argsort(means)[::-1][:3].tolist()
    told = Language(texts=texts)
    for one in told.mistakes(told.outcomes(net, [(before, target)]), most=3):
        line = texts(target[one.example].tolist())
        assert one.text == f'perplexity {math.exp(means[one.example]):.3g}: "{line}"'
    assert Language().breakdown(outcomes).numbers["loss"][0] == pytest.approx(
        math.log(float(outcomes.scores.mean())), rel=1e-6
    )


@pytest.mark.parametrize(
    ("task", "wrong"),
    [(Language, {"label_smoothing": 1.0}), (MaskedLanguage, {"masked": 1.5}), (Language, {"texts": 3})],
)
def test_wrong_settings_are_refused_by_name(task, wrong):
    with pytest.raises(FieldError) as error:
        task(**wrong)
    assert error.value.field == next(iter(wrong))
