"""Greenlets that share the threads of a worker."""

from __future__ import annotations

import threading

import gevent
import pytest

from tango_saver.engine.cooperative import CooperativeExecutor


def test_greenlets_may_submit_far_more_than_there_are_threads() -> None:
    executor = CooperativeExecutor(2)

    def use(number: int) -> int:
        futures = [executor.submit(pow, number, 2) for _ in range(200)]
        return sum(future.result() for future in futures)

    users = [gevent.spawn(use, number) for number in range(5)]
    gevent.joinall(users, timeout=20, raise_error=True)
    assert [user.value for user in users] == [200 * number**2 for number in range(5)]


def test_submitting_never_waits_for_a_thread() -> None:
    executor = CooperativeExecutor(1)
    released = threading.Event()
    futures = [executor.submit(released.wait, 20) for _ in range(50)]
    assert not any(future.done() for future in futures)
    released.set()
    assert all(future.result() for future in futures)


def test_while_one_greenlet_waits_for_a_result_the_others_go_on() -> None:
    executor = CooperativeExecutor(1)
    released = threading.Event()
    waiting = gevent.spawn(executor.submit(released.wait, 20).result)
    gevent.spawn(released.set)
    assert waiting.get(timeout=20) is True


def test_an_error_of_the_work_is_the_error_of_the_future() -> None:
    future = CooperativeExecutor(1).submit(divmod, 1, 0)
    assert isinstance(future.exception(), ZeroDivisionError)
    with pytest.raises(ZeroDivisionError):
        future.result()


def test_waiting_for_a_result_ends_after_the_time_that_was_given() -> None:
    executor = CooperativeExecutor(1)
    released = threading.Event()
    future = executor.submit(released.wait, 20)
    with pytest.raises(TimeoutError):
        future.result(0.01)
    released.set()
    assert future.result() is True
