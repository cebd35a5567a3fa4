"""Work for whichever thread comes first: done once, waited for only while somebody is at it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event, get_ident

import pytest

from trainer.task import Task


def test_who_asks_for_what_nobody_has_begun_does_it():
    assert Task(get_ident).result() == get_ident()


def test_many_who_come_at_once_get_one_result():
    together, calls = Barrier(8), []

    def work():
        calls.append(get_ident())
        return len(calls)

    task = Task(work)

    def ask(number):
        together.wait()
        if number % 2:
            task.help()
        return task.result()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {1}
    assert len(calls) == 1


def test_help_waits_for_nobody_who_is_at_it():
    begun, may_end = Event(), Event()

    def work():
        begun.set()
        return may_end.wait(30)

    task = Task(work)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(task.result)
        assert begun.wait(30)
        task.help()
        assert not task.done
        may_end.set()
        assert other.result()
    assert task.done


def test_what_nobody_will_ask_for_is_left():
    task = Task(lambda: pytest.fail("done"))
    task.cancel()
    task.help()
    assert not task.done


def test_a_failure_is_told_to_who_asks_and_the_work_tried_again():
    answers = iter([OSError("first"), OSError("second"), 3])

    def work():
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    task = Task(work)
    with pytest.raises(OSError, match="first"):
        task.help()
    with pytest.raises(OSError, match="second"):
        task.result()
    assert task.result() == 3
