"""The settings of the data of a job, as one validated value."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Literal

from search_spaces.errors import FieldError
from search_spaces.limits import MOST_PIXELS, check_fields, check_most


class InvalidData(ValueError):
    """Data that cannot be used; one line that names the file or field and what is expected of it."""


class InvalidExamples(InvalidData):
    """Examples that cannot be used, all of them; the message names the first ten.

    Attributes:
        lines: One line for each example: its name and the reason.
    """

    named = 10

    def __init__(self, summary: str, lines: Sequence[str]) -> None:
        super().__init__(summary, lines)
        self.summary, self.lines = summary, tuple(lines)

    def __str__(self) -> str:
        more = len(self.lines) - self.named
        shown = [self.summary, *(f"  {line}" for line in self.lines[: self.named])]
        return "\n".join([*shown, f"  and {more} more"] if more > 0 else shown)


_CHANNELS, _LEAST_STD = (1, 3), 1e-3
_PER_CHANNEL = "one for each of 3 channels or one for all"
_MOST = {"image_size": MOST_PIXELS, "crop_padding": MOST_PIXELS, "cutout": MOST_PIXELS, "workers": 256}


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the data come from, how they are split, and how images are augmented.

    Args:
        source: `digits` (scikit-learn's 8x8 digits, nothing to download), `npz` (JPEG files in one array), `folder`
            (one folder of images per class), `timm` (any random-access dataset of `timm.data.create_dataset`), `noise`
            (random colours with random labels of 10 classes: for costs, latency and trying things out), `parallel_text`
            (sentences and their translations, in files of lines), `text` (lines of one language), `planetoid` (one
            graph with labels at its nodes), or your own source at `package.module:object`.
        options: Keyword arguments of the source: those of `parallel_text`, `text`, `planetoid`, or of your own.
        path: Place of the data: for `npz` the training file, or the folder that holds *train*.npz and *test*.npz; for
            `folder` the folder with train/CLASS/ (and val/, test/) or CLASS/ in it; for `timm` the root folder of the
            dataset; for text a file of lines, or the folder that holds train.en, val.en and so on, compressed or not;
            for `planetoid` an npz file, or a table of nodes.
        test_path: Test file of `npz` or of text, or test folder of `folder`, where it is not beside the training data.
        dataset: Name for `timm.data.create_dataset`, e.g. `torch/cifar10` or `hfds/owner/name`.
        image_size: Side of the square images in pixels; `null` for the images' own size where all are alike, square
            and at most 224 pixels, and 64 otherwise; 32 for `noise`. A space with pretrained weights sets it to the
            size that these were trained at.
        mean: Mean of each channel on the scale 0 to 1 that is subtracted from images, or one for all channels; `null`
            for that of the training images. A space with pretrained weights sets it to what these were trained with.
        std: Standard deviation that images are then divided by, given together with `mean`.
        validation_fraction: Part of the training examples held out for the search where the source has no validation
            split. `digits` and `noise` are always split 60/20/20.
        test_fraction: Part of all examples held out for the final report where the source has no test split.
        flip: Whether training images are mirrored at random; `null` for the default of the source: not for `digits`,
            because a mirrored digit is not the same digit.
        crop_padding: Black pixels added around a training image before a random crop of the original size; `null`
            for an eighth of the image size. Images that do not fit into memory are cropped and rescaled instead.
        cutout: Side in pixels of the square that is blanked in each training image; 0 for none.
        workers: Processes that decode images which do not fit into memory; 0 decodes in the training process.
        in_memory: Whether all images are decoded once and kept on the device; `null` for up to 4 GiB.
        on_error: What to do if some images cannot be decoded, or lines are empty or too long: `refuse` names all of
            them before anything is trained, `skip` goes on without them and says so.
        changed: What to do if the data of a job have changed since it began: `refuse` to go on, or `keep`: every
            example that is left stays in its split, and new ones are trained on. The classes must be the same.
        download: Whether timm may fetch a dataset that is not at `path` yet.
    """

    source: str = "digits"
    options: dict[str, Any] = field(default_factory=dict)
    path: str | None = None
    test_path: str | None = None
    dataset: str | None = None
    image_size: int | None = None
    mean: list[float] | None = None
    std: list[float] | None = None
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    flip: bool | None = None
    crop_padding: int | None = None
    cutout: int = 0
    workers: int = 2
    in_memory: bool | None = None
    on_error: Literal["refuse", "skip"] = "refuse"
    download: bool = False
    changed: Literal["refuse", "keep"] = "refuse"

    def __post_init__(self) -> None:
        check_most(self, _MOST)
        limits: list[tuple[str, bool, str]] = [
            ("source", bool(self.source), "the name of a source, or package.module:object"),
            ("image_size", self.image_size is None or self.image_size >= 4, "at least 4 pixels, or null"),
            ("mean", self._is_channels(self.mean, least=0.0), f"numbers from 0 to 1, {_PER_CHANNEL}, or null"),
            (
                "std",
                self._is_channels(self.std, least=_LEAST_STD),
                f"numbers above 0 and up to 1, {_PER_CHANNEL}, or null",
            ),
            ("std", (self.mean is None) == (self.std is None), "given together with mean"),
            ("validation_fraction", 0 < self.validation_fraction < 1, "between 0 and 1"),
            ("test_fraction", 0 < self.test_fraction < 1, "between 0 and 1"),
            ("crop_padding", self.crop_padding is None or self.crop_padding >= 0, "0 or more pixels, or null"),
            ("cutout", self.cutout >= 0, "0 or more pixels"),
            ("workers", self.workers >= 0, "0 or more"),
            ("on_error", self.on_error in ("refuse", "skip"), "'refuse' or 'skip'"),
            ("changed", self.changed in ("refuse", "keep"), "refuse or keep"),
        ]
        check_fields(self, limits)

    @staticmethod
    def _is_channels(values: list[float] | None, *, least: float) -> bool:
        """Return whether these are numbers that stand for the channels of images."""
        return values is None or (len(values) in _CHANNELS and all(least <= value <= 1 for value in values))

    def require(self, *names: str) -> None:
        """Refuse a missing value of a field that the source needs.

        Raises:
            FieldError: One of these fields is null.
        """
        for name in names:
            if getattr(self, name) is None:
                raise FieldError(name, f"must be given for source {self.source!r}, got None")

    def refuse(self, *names: str) -> None:
        """Refuse a field that was given a value but means nothing to the source.

        Raises:
            FieldError: One of these fields is not at its default.
        """
        for item in fields(self):
            default = item.default if item.default is not MISSING else {}
            if item.name in names and (given := getattr(self, item.name)) != default:
                raise FieldError(item.name, f"must be left out, source {self.source!r} does not use it; got {given!r}")

    def refuse_all_but(self, *names: str) -> None:
        """Refuse every field with a value that is not among these; source and options are always allowed.

        Raises:
            FieldError: Another field is not at its default.
        """
        used = {"source", "options", "changed", *names}
        self.refuse(*(item.name for item in fields(self) if item.name not in used))
