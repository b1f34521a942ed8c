import threading

import pytest

from mirada.workers.crew import share_out


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_order_and_a_tool_does_one_job_at_a_time(count):
    tools = [threading.Lock() for _ in range(count)]
    meeting = threading.Barrier(count)

    def work(tool, job):
        assert tool.acquire(blocking=False)
        if job < count:
            meeting.wait(30)  # the first jobs are under way at the same time
        tool.release()
        return 10 * job

    assert list(share_out(tools, work, range(50))) == [10 * job for job in range(50)]


def test_jobs_are_taken_as_they_are_needed():
    taken = []

    def jobs():
        for job in range(1000):
            taken.append(job)
            yield job

    done = share_out(["a", "b"], lambda _, job: job, jobs())
    assert next(done) == 0
    assert len(taken) < 10
    done.close()


def test_what_fails_is_raised_in_its_place():
    results = share_out(["a", "b"], lambda _, job: 1 // (3 - job), range(9))
    assert [next(results) for _ in range(3)] == [0, 0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
