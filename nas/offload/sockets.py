"""A network in two processes that speak over a socket: the reference for what a product does in its own way.

A message is the number of its bytes, in 4 bytes, and the bytes. The device sends what its half gives, packed; the
server answers with the output of its half, in single precision.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from nas.offload.message import Message

Half = Callable[[Tensor], Tensor]
_LENGTH = struct.Struct(">I")
_MOST_BYTES = 2**28


class Device:
    """The side of the device.

    Args:
        half: What runs on the device: inputs [B, ...] -> what is sent.
        message: Form of what is sent.
        connection: Connected to `serve`.
    """

    def __init__(self, half: Half, message: Message, connection: socket.socket) -> None:
        self.half, self.message, self.connection = half, message, connection

    @torch.inference_mode()
    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the output of the whole network for inputs [B, ...].

        Raises:
            ConnectionError: The server has gone.
        """
        _send(self.connection, self.message.packed(self.half(inputs)))
        answer = _receive(self.connection)
        if answer is None:
            raise ConnectionError("the server closed the connection without an answer")
        return torch.from_numpy(np.frombuffer(answer, "<f4").reshape(len(inputs), -1).copy())


@torch.inference_mode()
def serve(half: Half, message: Message, listener: socket.socket, *, devices: int = 1) -> None:
    """Answer devices, one after the other, until each has closed its connection.

    Args:
        half: What runs on the server: what arrives -> outputs [B, classes].
        message: Form of what arrives.
        listener: Socket that listens.
        devices: How many devices are answered before this returns.

    Raises:
        ValueError: What arrives does not have this form.
    """
    for _ in range(devices):
        connection, _ = listener.accept()
        with connection:
            while (content := _receive(connection)) is not None:
                output = half(message.unpacked(content))
                _send(connection, output.detach().cpu().numpy().astype("<f4").tobytes())


def _send(connection: socket.socket, content: bytes) -> None:
    connection.sendall(_LENGTH.pack(len(content)) + content)


def _receive(connection: socket.socket) -> bytes | None:
    """Return the next message; None where the other side has closed the connection."""
    head = _exactly(connection, _LENGTH.size)
    if head is None:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > _MOST_BYTES:
        raise ValueError(f"a message of {length:,} bytes is longer than {_MOST_BYTES:,}")
    return _exactly(connection, length)


def _exactly(connection: socket.socket, length: int) -> bytes | None:
    content = bytearray()
    while len(content) < length:
        part = connection.recv(length - len(content))
        if not part:
            return None
        content += part
    return bytes(content)
