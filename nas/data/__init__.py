"""Data for training, search and the final report, in three splits that are separate from the start."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.data.config import DataConfig, InvalidData, InvalidExamples
    from nas.data.data import CheckedSource, Data, DataSource, Split, WatchedSource
    from nas.data.images.device_images import DeviceImages
    from nas.data.images.image_data import ImageData
    from nas.data.images.preprocessing import Preprocessing
    from nas.data.images.source import ImageSource
    from nas.data.images.streamed_images import StreamedImages
    from nas.data.load import check_data, load_data, open_source
    from nas.data.tensors import TensorData, TensorSource
    from supernets.tasks import Batch

__all__ = [
    "Batch",
    "CheckedSource",
    "Data",
    "DataConfig",
    "DataSource",
    "DeviceImages",
    "ImageData",
    "ImageSource",
    "InvalidData",
    "InvalidExamples",
    "Preprocessing",
    "Split",
    "StreamedImages",
    "TensorData",
    "TensorSource",
    "WatchedSource",
    "check_data",
    "load_data",
    "open_source",
]

__getattr__ = lazy(__name__, __file__)
