"""Translation: what beam search writes, and how it is judged."""

import math

import numpy as np
import pytest
import torch

from search_spaces.errors import FieldError
from search_spaces.families.hat import small_hat
from supernets import Supernet
from supernets.tasks import Translation
from supernets.tasks.beam import Beam
from supernets.tasks.beam_search import Writer, beam_search
from supernets.tasks.bleu import bleu_of, bleu_scores, sentence_counts
from tests.supernets.tasks.writers import Forgetful, Recurrent, pairs, texts

pytest.importorskip("sacrebleu", reason="needs the extra `text`")


def slow_search(network, source, beam, limit):
    """Return the best target of one source [1, S], one target after the other."""
    alive, finished = [(0.0, [1])], []
    for length in range(1, limit + 1):
        candidates = []
        for score, tokens in alive:
            logp = network(source, torch.tensor([tokens]))[0, -1].double().log_softmax(-1)
            allowed = [2] if length == limit else [2, *range(4, len(logp))]
            candidates += [(score + float(logp[token]), [*tokens, token]) for token in allowed]
        candidates.sort(key=lambda one: -one[0])
        for score, tokens in candidates[: beam.size]:
            if tokens[-1] == 2 and len(finished) < beam.size:
                finished.append((score / length**beam.length_penalty, tokens[1:]))
        if len(finished) >= beam.size:
            break
        alive = [one for one in candidates[: 2 * beam.size] if one[1][-1] != 2][: beam.size]
    return max(finished, key=lambda one: one[0])[1]


@pytest.mark.parametrize(("size", "penalty"), [(1, 1.0), (3, 1.0), (4, 0.0)])
@torch.inference_mode()
def test_beam_search_finds_what_a_search_one_by_one_finds(size, penalty):
    source, beam = pairs()[0], Beam(size=size, length_penalty=penalty, longest=9)
    lengths = set()
    for seed in range(4):
        network = Recurrent(seed=seed).eval()
        found = beam_search(network, source, beam)
        assert found == [slow_search(network, source[i : i + 1], beam, 9) for i in range(len(source))]
        lengths |= set(map(len, found))
    assert len(lengths) > 2  # some end early


def test_a_network_that_remembers_nothing_writes_the_same():
    network, source = Recurrent(seed=2).eval(), pairs()[0]
    assert isinstance(network, Writer)
    assert not isinstance(Forgetful(network), Writer)
    assert beam_search(network, source, Beam()) == beam_search(Forgetful(network), source, Beam())


def test_translators_of_a_space_write_with_their_cache_what_they_write_without():
    sizes = {"embeds": (8, 16), "hidden": (8, 16), "heads": (1, 2), "width": 8, "encoder_layers": 2, "depths": (1, 2)}
    space = small_hat(source_vocabulary=12, target_vocabulary=12, longest=40, **sizes)
    torch.manual_seed(3)
    supernet, source = Supernet(space), pairs()[0]
    for architecture in (space.smallest(), space.largest()):
        network = supernet.extract(architecture).eval()
        assert isinstance(network, Writer)
        beam = Beam(size=3, longest=12)
        assert beam_search(network, source, beam) == beam_search(Forgetful(network), source, beam)


def test_more_beams_find_targets_that_are_at_least_as_likely():
    network, source = Recurrent(seed=1).eval(), pairs()[0]

    @torch.inference_mode()
    def likelihood(found):
        total = 0.0
        for i, tokens in enumerate(found):
            logp = network(source[i : i + 1], torch.tensor([[1, *tokens[:-1]]]))[0].log_softmax(-1)
            total += float(logp[range(len(tokens)), tokens].sum())
        return total

    one, many = (beam_search(network, source, Beam(size=size, length_penalty=0.0, longest=6)) for size in (1, 8))
    assert likelihood(many) > likelihood(one)


def test_targets_have_an_end_and_no_more_tokens_than_allowed():
    network, source = Recurrent(seed=3).eval(), pairs()[0]
    with torch.no_grad():
        network.head.bias[2] = -50.0  # it never ends by itself
    found = beam_search(network, source, Beam(size=2, longest=5))
    assert {len(one) for one in found} == {5}
    assert all(one[-1] == 2 and min(one[:-1]) >= 4 for one in found)
    assert {len(one) for one in beam_search(network, source, Beam(size=2))} == {2 * source.shape[1] + 8}


# ---- BLEU -----------------------------------------------------------------------------------------------------------

VOCABULARY = ["a", "man", "in", "the", "blue", "house", "sits", "under", "two", "trees", ".", ",", "dogs", "run"]


def sentences(count, noise, seed=0):
    generator = np.random.default_rng(seed)
    references, outputs = [], []
    for _ in range(count):
        words = [VOCABULARY[i] for i in generator.integers(0, len(VOCABULARY), generator.integers(3, 20))]
        references.append(" ".join(words))
        kept = [w if generator.random() > noise else VOCABULARY[generator.integers(0, 13)] for w in words]
        outputs.append(" ".join(w for w in kept if generator.random() > noise / 2))
    return outputs, references


@pytest.mark.parametrize("noise", [0.0, 0.2, 1.0])
def test_bleu_of_counts_is_that_of_sacrebleu(noise):
    from sacrebleu import corpus_bleu

    outputs, references = sentences(60, noise)
    counts = sentence_counts(outputs, references)
    assert bleu_of(counts) == pytest.approx(corpus_bleu(outputs, [references]).score, abs=1e-9)
    assert bleu_scores(counts).mean() == pytest.approx(bleu_of(counts), abs=1e-9)


def test_bleu_without_any_match_is_a_number():
    counts = sentence_counts(["", "x y"], ["a b c", "d e"])
    assert bleu_of(counts) == pytest.approx(bleu_scores(counts).mean())
    assert 0 <= bleu_of(counts) < 20


def test_scores_have_the_spread_of_bleu_over_samples():
    counts = sentence_counts(*sentences(400, 0.25))
    scores = bleu_scores(counts)
    samples = np.random.default_rng(1).integers(0, 400, (600, 400))
    spread = np.std([bleu_of(counts[sample]) for sample in samples])
    assert scores.std(ddof=1) / math.sqrt(400) == pytest.approx(spread, rel=0.1)


def test_differences_of_two_systems_have_their_spread_over_samples():
    (first, references), (second, _) = sentences(400, 0.2), sentences(400, 0.25)
    ours, theirs = sentence_counts(first, references), sentence_counts(second, references)
    away = bleu_scores(ours) - bleu_scores(theirs)
    samples = np.random.default_rng(1).integers(0, 400, (600, 400))
    spread = np.std([bleu_of(ours[sample]) - bleu_of(theirs[sample]) for sample in samples])
    assert away.std(ddof=1) / math.sqrt(400) == pytest.approx(spread, rel=0.12)


# ---- the task -------------------------------------------------------------------------------------------------------


def test_bleu_is_that_of_the_text_that_is_written():
    network, batch = Recurrent(seed=1), pairs()
    task = Translation(texts=texts, beam=2)
    written = [texts(row) for row in beam_search(network.eval(), batch[0], Beam(size=2))]
    wanted = [texts(row) for row in batch[2].tolist()]
    assert task.evaluate(network, [batch]).value == bleu_of(sentence_counts(written, wanted))
    outcomes = task.outcomes(network, [tuple(part[:4] for part in batch), tuple(part[4:] for part in batch)])
    assert outcomes.columns["reference"].tolist() == wanted
    assert outcomes.columns["source"].tolist() == [texts(row) for row in batch[0].tolist()]


def test_reports_have_both_metrics_and_some_translations():
    network, batch = Recurrent(seed=1), pairs()
    by_bleu = Translation(texts=texts)
    found = by_bleu.breakdown(by_bleu.outcomes(network, [batch]))
    assert list(found.numbers) == ["perplexity", "loss"]
    quick = by_bleu.quick()
    assert quick.metric.name == "perplexity"
    assert found.numbers["perplexity"][0] == pytest.approx(quick.evaluate(network, [batch]).value)
    by_loss = quick.breakdown(quick.outcomes(network, [batch]))
    assert by_loss.numbers["bleu"][0] == by_bleu.evaluate(network, [batch]).value
    table = found.tables["translations"]
    assert (table.columns, len(table.rows)) == (["source", "reference", "translation"], 9)
    assert [row[1] for row in table.rows] == [texts(row) for row in batch[2].tolist()]
    worst = by_bleu.mistakes(by_bleu.outcomes(network, [batch]), most=2)
    assert all(one.text.startswith('"w') and len(texts(batch[2][one.example].tolist()).split()) >= 4 for one in worst)


def test_perplexity_needs_no_text():
    network, batch = Recurrent(seed=1), pairs()
    task = Translation(metric="perplexity")
    assert "translation" not in task.outcomes(network, [batch]).columns
    assert not task.breakdown(task.outcomes(network, [batch])).tables
    with pytest.raises(FieldError, match="no text to compare"):
        Translation()


@pytest.mark.parametrize("wrong", [{"metric": "rouge"}, {"beam": 0}, {"length_penalty": -1.0}, {"longest": 1}])
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(FieldError) as error:
        Translation(**{"texts": texts, **wrong})
    assert error.value.field == next(iter(wrong))
