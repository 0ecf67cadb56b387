"""Sources of one's own: any tensors, named in a job, with the promises that images have."""

import pytest
import torch

from nas.data import Data, DataConfig, InvalidData, TensorData, check_data, load_data, open_source
from search_spaces.errors import FieldError
from service.errors import InvalidJob
from service.job.building import data_facts, data_source
from service.job.loading import job_of
from tests.nas.data.pictures import CPU

SOURCES = {name: f"tests.nas.data.own_sources:{name}" for name in ("vectors", "sequences")}


def own(name: str, **changes: object) -> Data:
    return load_data(DataConfig(source=SOURCES[name], **changes), device=CPU)


def same(first: list, second: list) -> bool:
    return len(first) == len(second) and all(
        len(a) == len(b) and all(map(torch.equal, a, b)) for a, b in zip(first, second)
    )


def rows(data: Data) -> dict[str, set[bytes]]:
    return {
        name: {row.numpy().tobytes() for row in next(split.sequential(1000))[0]}
        for name, split in (("train", data.train), ("validation", data.validation), ("test", data.test))
    }


def test_a_source_is_opened_by_its_place_with_its_options():
    config = DataConfig(source=SOURCES["vectors"], options={"examples": 30, "features": 4})
    assert check_data(config) == data_facts(config) == {"features": 4, "outputs": 1}
    data, by_service = load_data(config, device=CPU), data_source(config).load(CPU)
    assert (data.name, data.task, sum(data.sizes.values())) == ("sums", "regression", 30)
    assert data.sizes == open_source(config).sizes
    assert data.describe() == by_service.describe()
    assert data.preprocessing == {"layout": "vector, element"}


def test_what_is_not_published_is_held_out():
    data = own("vectors", validation_fraction=0.25, test_fraction=0.2)
    assert data.sizes == {"train": 30, "validation": 10, "test": 10}
    parts = rows(data)
    assert len(set.union(*parts.values())) == 50
    published = own("sequences", validation_fraction=0.25)
    assert published.sizes == {"train": 30, "validation": 10, "test": 10}


def test_classes_are_in_every_split_by_their_share():
    data = own("sequences", validation_fraction=0.25)
    shares = [float((next(split.sequential(100))[1] > 2).float().mean()) for split in (data.train, data.validation)]
    assert shares[0] == pytest.approx(shares[1], abs=0.06)


def test_fingerprint_follows_examples_and_split():
    data = own("vectors")
    assert data.fingerprint == own("vectors").fingerprint
    other_split = load_data(DataConfig(source=SOURCES["vectors"]), device=CPU, seed=1)
    others = [other_split, own("vectors", options={"features": 5}), own("vectors", test_fraction=0.3)]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 4


@pytest.mark.parametrize("name", SOURCES)
def test_batches_repeat_resume_and_are_shared(name: str):
    train = own(name).train
    whole = list(train.batches(8, epoch=1, seed=3))
    assert len(whole) == train.steps(8)
    assert same(whole, list(train.batches(8, epoch=1, seed=3)))
    assert not same(whole, list(train.batches(8, epoch=2, seed=3)))
    assert same(whole[2:], list(train.batches(8, epoch=1, seed=3, start=2)))
    parts = [list(train.batches(8, epoch=1, seed=3, rank=rank, world_size=2)) for rank in range(2)]
    assert same(whole, [tuple(map(torch.cat, zip(a, b))) for a, b in zip(*parts)])


@pytest.mark.parametrize("name", SOURCES)
def test_a_given_order_is_shown(name: str):
    train = own(name).train
    order = torch.zeros(len(train), dtype=torch.int64)
    shown = next(train.batches(4, epoch=0, seed=0, order=order))
    first = next(train.sequential(1))
    assert same([shown], [tuple(part.expand(4, *part.shape[1:]) for part in first)])


def test_types_of_tensors_are_kept():
    assert [part.dtype for part in next(own("sequences").train.batches(4, epoch=0, seed=0))] == [
        torch.int64,
        torch.int32,
        torch.int64,
    ]


def test_order_equals_that_of_images():
    from nas.data import DeviceImages

    images = load_data(DataConfig(source="digits"), device=CPU).train
    assert isinstance(images, DeviceImages)
    labels = TensorData(images.labels)
    ours = torch.cat([part for (part,) in labels.batches(16, epoch=2, seed=5)])
    assert torch.equal(ours, torch.cat([y for _, y in images.batches(16, epoch=2, seed=5)]))
    assert torch.equal(labels.subset(9, 1).tensors[0], images.subset(9, 1).labels)


def test_an_own_kind_of_augmentation_sees_seed_epoch_and_share():
    class Numbered(TensorData):
        def augmented(self, batch, share, *, seed, epoch):
            return (*batch, torch.full((len(batch[0]),), 100 * seed + 10 * epoch + share.batch))

    shown = [numbers.tolist() for _, numbers in Numbered(torch.arange(4)).batches(2, epoch=1, seed=2)]
    assert shown == [[210, 210], [211, 211]]
    assert all(len(batch) == 1 for batch in Numbered(torch.arange(4)).batches(2, epoch=1, seed=2, augment=False))


def test_tensors_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"same length, got \[3\], \[2, 2\]"):
        TensorData(torch.zeros(3), torch.zeros(2, 2))


def test_too_few_examples_are_refused():
    with pytest.raises(InvalidData, match="sums: at least 3 training examples are needed, found 2"):
        own("vectors", options={"examples": 2})


def test_fields_about_images_are_refused():
    with pytest.raises(FieldError, match=r"flip must be left out, source .*vectors' does not use it; got True"):
        own("vectors", flip=True)


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        ({"source": "digit"}, "data.source: unknown data 'digit'; did you mean digits?"),
        ({"source": "tests.nowhere:it"}, "data.source: 'tests.nowhere:it' cannot be imported"),
        ({"source": SOURCES["vectors"], "options": {"feature": 3}}, "data.options.feature: "),
        ({"source": SOURCES["vectors"], "options": {"features": "many"}}, "data.options.features: must be a whole"),
        ({"source": SOURCES["vectors"], "options": {"config": {}}}, "data.options.config: "),
        ({"source": SOURCES["vectors"], "cutout": 4}, "data.cutout: must be left out"),
        ({"source": "npz"}, "data.path: must be given for source 'npz'"),
        ({"source": SOURCES["vectors"], "options": {"examples": 1}}, "data: sums: at least 3 training examples"),
    ],
)
def test_a_job_names_its_mistakes_with_a_source(data: dict, mistake: str):
    with pytest.raises(InvalidJob) as caught:
        job_of({"name": "own", "data": data, "space": {"name": "conv_macro"}})
    assert any(line.startswith(mistake) for line in caught.value.mistakes), caught.value.mistakes


def test_every_listed_source_is_found_by_its_name_in_the_library():
    from nas.names import find
    from service import catalogue

    for name in catalogue.DATA:
        found = find(name, package="nas.data.sources", attribute="open_{name}")
        assert found is catalogue.resolve("data", name)
