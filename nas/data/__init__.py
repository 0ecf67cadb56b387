"""Images for training, search and the final report: three splits that are apart from the first day."""

from typing import TYPE_CHECKING

from search_spaces.lazy import lazy

if TYPE_CHECKING:
    from nas.data.config import DataConfig, InvalidData
    from nas.data.device_images import DeviceImages
    from nas.data.load import Data, DataShape, Images, check_data, load_data
    from nas.data.streamed_images import StreamedImages

__all__ = [
    "Data",
    "DataConfig",
    "DataShape",
    "DeviceImages",
    "Images",
    "InvalidData",
    "StreamedImages",
    "check_data",
    "load_data",
]

__getattr__ = lazy(__name__, __file__)
