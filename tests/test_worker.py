"""A process that answers, and what is said of one that does not."""

import multiprocessing
import os
import signal
import time

import pytest

import hostile
from planet_torch.worker import CLOSE_SECONDS, Gone, Worker


def test_it_answers_in_order_and_is_not_waited_for():
    worker = Worker(hostile.double, 100)
    for number in (1, 2, 3):
        worker.ask(number)
    assert [worker.answer() for _ in range(3)] == [102, 104, 106]
    assert not worker.answered(0.0)
    worker.close()
    assert worker.closed


@pytest.mark.parametrize(("number", "how"), [(-3, "exit status 3"), (0, "by SIGSEGV")])
def test_how_it_died_is_said_whenever_it_is_found_out(number, how):
    worker = Worker(hostile.double, 0)
    worker.ask(number)
    assert worker.answered(60.0)  # its end is one, too
    with pytest.raises(Gone, match=f"^{how}$"):
        worker.answer()
    assert worker.closed
    assert worker.answered(0.0)
    with pytest.raises(Gone):
        worker.ask(1)


def test_what_is_ended_in_the_middle_of_its_work_tidies_up(tmp_path):
    worker = Worker(hostile.sleep, str(tmp_path / "tidy"))
    assert worker.answer() == "here"
    worker.kill()
    assert (tmp_path / "tidy").exists()


def test_it_can_be_waited_for_as_long_as_one_likes():
    """The system counts milliseconds in 32 bits."""
    worker = Worker(hostile.double, 100)
    worker.ask(1)
    assert worker.answered(1e12)
    worker.close()


def test_it_can_be_ended_again_and_again_whatever_it_does():
    worker = Worker(hostile.ignore)
    assert worker.answer() == "here"
    start = time.monotonic()
    for _ in range(2):
        worker.kill()
        worker.close()
    assert time.monotonic() - start < 3 * CLOSE_SECONDS
    assert worker.closed


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.3])
def test_an_interrupt_that_comes_while_it_starts_is_not_heard(wait):
    """A Ctrl-C at a terminal goes to all processes; the first one decides."""
    worker = Worker(hostile.double, 100)
    (process,) = multiprocessing.active_children()
    time.sleep(wait)
    os.kill(process.pid, signal.SIGINT)
    worker.ask(1)
    assert worker.answer() == 102
    assert {signal.SIGINT, signal.SIGTERM}.isdisjoint(
        signal.pthread_sigmask(signal.SIG_BLOCK, ())
    )
    worker.close()


def test_one_that_is_to_end_while_it_starts_ends_by_itself():
    worker = Worker(hostile.double, 100)
    (process,) = multiprocessing.active_children()
    os.kill(process.pid, signal.SIGTERM)
    assert worker.answered(60.0)
    with pytest.raises(Gone, match=r"^exit status 143$"):
        worker.answer()
