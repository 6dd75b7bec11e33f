"""What tasks cost in Python: no-op tasks with results, four worker threads.

origin.py executor|huey throughput|round-trip

Prints the nanoseconds of one of 20,000 tasks that are all submitted, then all joined; or the microseconds of one task at a time,
there and back, the median.
"""

import os
import statistics
import sys
import time

WORKERS = 4
TASKS = 20_000


def noop():
    return 1  # Huey stores no result for None.


class Executor:
    TRIPS = 5_000

    def __init__(self):
        from concurrent.futures import ThreadPoolExecutor

        self.pool = ThreadPoolExecutor(WORKERS)

    def submit(self):
        return self.pool.submit(noop)

    def join(self, future):
        return future.result()


class Huey:
    TRIPS = 20  # Worker and waiter poll, so that one takes a tenth of a second and more.

    def __init__(self):
        from huey import MemoryHuey

        huey = MemoryHuey(immediate=False)
        self.submit = huey.task()(noop)
        self.consumer = huey.create_consumer(workers=WORKERS, worker_type="thread", periodic=False)
        self.consumer.start()

    def join(self, result):
        return result.get(blocking=True)


def throughput(queue, tasks):
    start = time.perf_counter_ns()
    for handle in [queue.submit() for _ in range(tasks)]:
        assert queue.join(handle) == 1
    return (time.perf_counter_ns() - start) / tasks


def round_trip(queue):
    trips = []
    for _ in range(queue.TRIPS):
        start = time.perf_counter_ns()
        assert queue.join(queue.submit()) == 1
        trips.append((time.perf_counter_ns() - start) / 1e3)
    return statistics.median(trips)


def main(who, what):
    queue = {"executor": Executor, "huey": Huey}[who]()
    if what == "throughput":
        throughput(queue, TASKS // 10)
        print(throughput(queue, TASKS), flush=True)
    else:
        print(round_trip(queue), flush=True)
    # Without waiting for anybody's threads.
    os._exit(0)


main(*sys.argv[1:])
