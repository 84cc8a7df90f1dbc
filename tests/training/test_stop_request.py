import os
import signal
import threading

import pytest

from tests.conftest import listening
from tltk.training.stop_request import TrainingStopped, stop_requests


def press(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def test_a_signal_stops_at_once_unless_it_is_postponed():
    with listening(), stop_requests() as request:
        with pytest.raises(TrainingStopped, match="SIGINT"):
            press()
        assert issubclass(TrainingStopped, KeyboardInterrupt) and request.signal_number == signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_postponed_signal_is_noted_and_a_second_one_stops(number, caplog):
    with listening(), stop_requests() as request, request.postponed():
        request.raise_if_any()
        press(number)
        assert request.signal_number == number and "once more" in caplog.text
        with pytest.raises(TrainingStopped) as stopped:
            press(number)
        assert stopped.value.signal_number == number
        with pytest.raises(TrainingStopped):
            request.raise_if_any()


def test_the_handlers_are_restored_and_those_of_a_program_stay():
    def own(number, frame):
        pass

    previous = signal.signal(signal.SIGTERM, own)
    try:
        with listening():
            before = signal.getsignal(signal.SIGINT)
            with stop_requests():
                assert signal.getsignal(signal.SIGINT) != before and signal.getsignal(signal.SIGTERM) is own
            assert signal.getsignal(signal.SIGINT) == before
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_other_threads_handle_no_signals():
    def enter():
        with stop_requests() as request:
            results.append(request.signal_number)

    results = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert results == [None]
