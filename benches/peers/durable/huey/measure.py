"""Huey with SqliteHuey: a consumer of 16 threads.

measure.py MEASUREMENT full|off FOLDER SIZE

Prints the figures as one line of JSON, as the other contenders do. `off` is Huey's `fsync=False`:
SQLite flushes nothing, and a power cut may damage the file. There is no mode between the two.
"""

import json
import logging
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

from huey import SqliteHuey

WORKERS = 16
PRODUCERS = 16
BATCH = 1000
TEXT = "x" * 100

measurement, durability, folder, size = sys.argv[1:]
size = int(size)
logging.disable(logging.CRITICAL)
huey = SqliteHuey("jobs", filename=str(pathlib.Path(folder) / "jobs.db"), fsync=durability == "full")
left = size
lock = threading.Lock()
last = threading.Event()


@huey.task()
def noop(text):
    global left
    assert len(text) == 100
    with lock:
        left -= 1
        if left == 0:
            last.set()


@huey.task()
def clock(text):
    return time.time_ns()


def enqueue():
    noop(TEXT)


def answer(**figures):
    look = lambda name: huey.storage.sql(f"pragma {name}", results=True)[0][0]
    print(json.dumps(figures | {name: look(name) for name in ("synchronous", "journal_mode")}), flush=True)


def rate(seconds, step, each=1):
    step()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        steps += 1
    return steps * each / (time.perf_counter() - start)


def rate_of_all(seconds, step):
    step()
    start, steps = time.perf_counter(), []

    def produce():
        count = 0
        while time.perf_counter() - start < seconds:
            step()
            count += 1
        steps.append(count)

    threads = [threading.Thread(target=produce) for _ in range(PRODUCERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(steps) / (time.perf_counter() - start)


def fill(count):
    """In one transaction for 1000, by the table that Huey's storage has: it has no call for that."""
    data = [(huey.name, huey.serialize_task(noop.s(TEXT)), 0) for _ in range(BATCH)]
    while count > 0:
        with huey.storage.db(commit=True) as cursor:
            cursor.executemany("insert into task (queue, data, priority) values (?, ?, ?)", data[:count])
        count -= BATCH


def consume():
    consumer = huey.create_consumer(workers=WORKERS, worker_type="thread", periodic=False)
    consumer.start()


def trips(other):
    wakes, whole = [], []
    for number in range(size + 2):
        time.sleep(0.005)
        began = time.time_ns()
        result = clock(TEXT)
        enqueued = time.time_ns()
        handled = result.get(blocking=True)
        back = time.time_ns()
        if number >= 2:
            wakes.append((handled - enqueued) / 1e6)
            whole.append((back - began) / 1e6)
    at = lambda figures, share: sorted(figures)[min(len(figures) * share // 100, len(figures) - 1)]
    figures = {f"{name}-{share}": at(of, share) for name, of in (("wake", wakes), ("trip", whole)) for share in (50, 99)}
    answer(**figures)


if measurement == "enqueue":
    answer(figure=rate(size / 1000, enqueue))
elif measurement == "enqueue-16":
    answer(figure=rate_of_all(size / 1000, enqueue))
elif measurement == "syncs":
    for _ in range(size):
        enqueue()
elif measurement == "process":
    fill(size)
    start = time.perf_counter()
    consume()
    last.wait()
    answer(figure=size / (time.perf_counter() - start))
elif measurement == "round-trip":
    command = [sys.executable, __file__, "handle", durability, folder, "1"]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    trips(other)
    other.kill()
elif measurement == "handle":
    consume()
    print("ready", flush=True)
    sys.stdin.read()
else:
    sys.exit(f"no measurement {measurement!r}")
# Without waiting for the threads of the consumer.
os._exit(0)
