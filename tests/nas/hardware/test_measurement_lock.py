"""Measurements with nothing beside them."""

import threading
import time

from nas.hardware.measurement_lock import MeasurementLock


def test_a_measurement_waits_for_work_and_is_let_in_before_later_work(tmp_path):
    """Each piece opens the lock anew, as another process does."""
    order: list[str] = []
    begun, waiting, done = threading.Event(), threading.Event(), threading.Event()

    def work():
        with MeasurementLock(tmp_path).working():
            begun.set()
            assert waiting.wait(500)
            time.sleep(0.2)
            order.append("work")

    def measure():
        assert begun.wait(500)
        waiting.set()
        with MeasurementLock(tmp_path).measuring():
            order.append("measurement")
        done.set()

    threads = [threading.Thread(target=target, daemon=True) for target in (work, measure)]
    for thread in threads:
        thread.start()
    assert done.wait(500)
    assert order == ["work", "measurement"]


def test_pieces_of_work_go_on_beside_each_other(tmp_path):
    first, second = MeasurementLock(tmp_path), MeasurementLock(tmp_path)
    assert list(zip(first.pieces([1, 2]), second.pieces("ab"))) == [(1, "a"), (2, "b")]
