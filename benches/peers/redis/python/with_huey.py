"""Huey with RedisHuey: a consumer of 16 threads. It has no call for many jobs at once."""

import sys
import time

from huey import RedisHuey

import parts

# A reader of a result waits for a notice, in place of asking again and again.
huey = RedisHuey("jobs", url=parts.address, notify_result=True)
countdown = parts.Countdown()


@huey.task()
def noop(text):
    countdown.begin(text)


@huey.task()
def clock(text):
    return time.time_ns()


def enqueue():
    noop(parts.TEXT)


def consume():
    huey.create_consumer(workers=parts.THREADS, worker_type="thread", periodic=False).start()


def process():
    start = time.perf_counter()
    consume()
    countdown.is_over.wait()
    return time.perf_counter() - start


def trip():
    result = clock(parts.TEXT)
    return lambda: result.get(blocking=True)


def handle():
    consume()
    parts.ready()
    sys.stdin.read()
