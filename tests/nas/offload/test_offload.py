"""The link, the messages, the policy, and two halves of a network in two processes."""

import socket
import subprocess
import sys
import threading
from math import inf, prod

import numpy as np
import pytest
import torch

from nas.hardware import LatencyConfig, MeasurementFailed, Meter
from nas.objectives import EndToEnd, Latency
from nas.offload import Device, Link, Member, Message, choose, measured_halves, serve
from search_spaces.errors import FieldError
from supernets import Supernet
from tests.search_spaces.split_networks import residual_space
from tests.supernets.helpers import scrambled

QUICK = LatencyConfig(repeats=5, warmup_s=0.0, min_time_ms=0.1)


def member(key: str, quality: float, sent: int, device: float, server: float = 0.0) -> Member:
    return Member(key=key, quality=quality, sent_bytes=sent, device_ms=device, server_ms=server)


MEMBERS = [
    member("image", 94.0, 3072, 0.0, 2.0),
    member("wide", 92.0, 768, 1.0, 1.5),
    member("narrow", 90.0, 96, 0.5, 1.5),
    member("device", 94.0, 0, 40.0),
]


# ---- the link and the policy ----------------------------------------------------------------------------------------


def test_a_link_takes_the_round_trip_and_the_time_of_the_bits():
    link = Link(rate_mbit_s=8, round_trip_ms=5)
    assert link.ms(1000) == 5 + 1
    assert link.ms(0) == 0
    with pytest.raises(FieldError, match="rate_mbit_s must be more than 0, got 0"):
        Link(rate_mbit_s=0)


def test_time_falls_with_the_rate():
    rates = np.geomspace(1e-3, 1e4, 50)
    for one in MEMBERS:
        times = [one.ms(Link(rate_mbit_s=rate, round_trip_ms=3)) for rate in rates]
        assert (np.diff(times) <= 0).all()
        assert (np.diff(times) < 0).all() == (one.sent_bytes > 0)


def best_by_hand(members: list[Member], rate: float, deadline: float) -> str:
    """Return the member of most quality within the deadline, else the fastest, by a loop."""
    best, found = (-inf, -inf), ""
    for one in members:
        took = one.device_ms + one.server_ms + (8 * one.sent_bytes / (rate * 1e3) if one.sent_bytes else 0)
        rank = (one.quality, -took) if took <= deadline else (-inf, -took)
        if rank > best:
            best, found = rank, one.key
    return found


@pytest.mark.parametrize("deadline", [1.0, 5.0, 10.0, 50.0])
def test_the_policy_picks_the_right_member_over_a_sweep_of_rates(deadline):
    for rate in np.geomspace(1e-4, 1e4, 200):
        chosen = choose(MEMBERS, Link(rate_mbit_s=rate), deadline_ms=deadline)
        assert chosen.key == best_by_hand(MEMBERS, rate, deadline), rate


def test_the_policy_sends_least_where_the_link_carries_almost_nothing_and_is_best_where_it_carries_all():
    slow, fast = Link(rate_mbit_s=1e-9), Link(rate_mbit_s=1e6)
    assert choose(MEMBERS, slow, deadline_ms=10).key == "device"
    sending = [one for one in MEMBERS if one.sent_bytes]
    assert choose(sending, slow, deadline_ms=10).key == "narrow"
    assert choose(MEMBERS, fast, deadline_ms=10).key == "image"
    swept = [choose(sending, Link(rate_mbit_s=rate), deadline_ms=10) for rate in np.geomspace(1e-6, 1e4, 60)]
    assert (np.diff([one.quality for one in swept]) >= 0).all()
    assert len({one.key for one in swept}) == 3


def test_the_policy_keeps_limits_on_bytes_and_on_the_time_of_the_device():
    link = Link(rate_mbit_s=1e3)
    assert choose(MEMBERS, link).key == "image"
    assert choose(MEMBERS, link, most_bytes=800, deadline_ms=10).key == "wide"
    assert choose(MEMBERS, link, most_bytes=800, deadline_ms=10, most_device_ms=0.7).key == "narrow"
    assert choose(MEMBERS, link, most_bytes=0).key == "device"
    with pytest.raises(FieldError, match="members must be one or more"):
        choose([], link)
    with pytest.raises(FieldError, match="deadline_ms must be more than 0, got 0"):
        choose(MEMBERS, link, deadline_ms=0)


# ---- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 7, 8, 32])
@pytest.mark.parametrize("shape", [(12, 8, 8), (3, 1, 1), (1, 3, 5)])
def test_messages_have_no_gaps_and_come_back_as_they_were(bits, shape):
    generator = torch.Generator().manual_seed(0)
    message = Message(shape, bits)
    codes = (
        torch.randn(3, *shape, generator=generator)
        if bits == 32
        else torch.randint(0, 2**bits, (3, *shape), generator=generator).to(torch.uint8)
    )
    content = message.packed(codes)
    assert message.length == -(-prod(shape) * bits // 8)
    assert len(content) == 3 * message.length
    assert torch.equal(message.unpacked(content), codes)


def test_the_bits_of_a_message_are_written_one_after_the_other():
    codes = torch.tensor([[5, 2, 7, 0, 1]], dtype=torch.uint8)
    assert Message((5,), 3).packed(codes) == int("101010111000001" + "0", 2).to_bytes(2, "big")
    with pytest.raises(ValueError, match="2 bytes for each input, got 3 bytes"):
        Message((5,), 3).unpacked(b"abc")


# ---- two processes --------------------------------------------------------------------------------------------------

SERVER = """
import socket, sys, torch
from nas.offload import Message, serve
from tests.nas.offload.test_offload import subnet_of

network, message = subnet_of(int(sys.argv[1]))
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
serve(network.halves()[1], message, listener)
"""


def subnet_of(bits: int, encoder: str = "ensemble"):
    """Return the same network in every process, and the form of what it sends."""
    torch.manual_seed(0)
    space = residual_space(encoder, bits=(2, 4, 8, 32))
    architecture = space.architecture({"cut": "layer1", "width": 0.75, "bottleneck": 3, "bits": bits})
    subnet = scrambled(Supernet(space)).eval().extract(architecture).eval()
    message = Message((3, 8, 8), bits)
    assert message.length == space.costs([architecture])["sent_bytes"][0]
    return subnet, message


def images(n: int = 5) -> torch.Tensor:
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("bits", [2, 8, 32])
def test_two_halves_over_a_socket_are_the_whole(bits):
    network, message = subnet_of(bits)
    device, server = network.halves()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        answering = threading.Thread(target=serve, args=(server, message, listener))
        answering.start()
        with socket.create_connection(listener.getsockname()) as connection:
            run = Device(device, message, connection)
            for n in (1, 5):
                assert torch.allclose(run(images(n)), network(images(n)), atol=1e-6)
        answering.join(10)
    assert not answering.is_alive()


@pytest.mark.integration
@pytest.mark.parametrize("bits", [4, 32])
def test_two_processes_over_a_socket_are_the_whole(bits):
    network, message = subnet_of(bits)
    command = [sys.executable, "-c", SERVER, str(bits)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            answer = Device(network.halves()[0], message, connection)(images())
        assert process.wait(60) == 0
    assert torch.allclose(answer, network(images()), atol=1e-6)


def test_a_server_that_goes_away_is_told():
    network, message = subnet_of(8)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = socket.create_connection(listener.getsockname())
        listener.accept()[0].close()
        with connection, pytest.raises(ConnectionError):
            Device(network.halves()[0], message, connection)(images())


# ---- measured halves ------------------------------------------------------------------------------------------------


def test_each_half_is_measured_and_the_link_is_added():
    space = residual_space(bits=(8,))
    subnet = Supernet(space).eval().extract
    cut = space.architecture({"cut": "layer1", "width": 1.0, "bottleneck": 3, "bits": 8})
    link = Link(rate_mbit_s=0.1, round_trip_ms=100)
    found = EndToEnd(lambda one: subnet(one).eval(), space, link, QUICK).evaluate(cut)
    linked = 100 + 8 * 3 * 64 / 100
    assert linked < found.value < linked + 100
    assert found.low is not None
    assert found.high is not None
    assert linked < found.low <= found.value <= found.high
    times = measured_halves(subnet(cut).eval(), space.example(cut), Meter(QUICK), Meter(QUICK))
    assert times.device.value > 0
    assert times.server.value > 0


def test_a_network_in_one_place_has_the_time_of_that_place_alone():
    space = residual_space(bits=(8,))
    supernet = Supernet(space).eval()
    for cut, place in (("input", "server"), ("none", "device")):
        architecture = space.architecture({"cut": cut})
        times = measured_halves(supernet.extract(architecture).eval(), space.example(), Meter(QUICK), Meter(QUICK))
        assert [name for name, one in times._asdict().items() if one.value > 0] == [place]
    whole = EndToEnd(lambda one: supernet.extract(one).eval(), space, Link(rate_mbit_s=1, round_trip_ms=1e6), QUICK)
    assert whole.evaluate(space.architecture({"cut": "none"})).value < 1e5


def test_a_network_without_halves_has_no_such_time():
    with pytest.raises(MeasurementFailed, match="Linear has no halves"):
        measured_halves(torch.nn.Linear(2, 2), (torch.zeros(1, 2),), Meter(QUICK), Meter(QUICK))


def test_the_time_of_both_halves_is_no_latency_of_one_place():
    assert EndToEnd.name != Latency.name
    assert (EndToEnd.role, EndToEnd.unit, EndToEnd.maximise, EndToEnd.serial) == ("cost", "ms", False, True)
