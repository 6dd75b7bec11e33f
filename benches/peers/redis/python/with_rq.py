"""RQ: a worker that forks for each job, or SimpleWorker, which does not. Both do one job at a time."""

import time

from redis import Redis
from rq import Queue, SimpleWorker, Worker

import parts

connection = Redis.from_url(parts.address)
queue = Queue("jobs", connection=connection)


def noop(text):
    assert len(text) == 100


def clock(text):
    return time.time_ns()


def enqueue():
    queue.enqueue(noop, parts.TEXT, result_ttl=0)


def enqueue_many(count):
    queue.enqueue_many([Queue.prepare_data(noop, (parts.TEXT,), result_ttl=0) for _ in range(count)])


def worker():
    return (SimpleWorker if parts.name == "rq-simple" else Worker)([queue], connection=connection)


def process():
    start = time.perf_counter()
    worker().work(burst=True)
    return time.perf_counter() - start


def trip():
    job = queue.enqueue(clock, parts.TEXT, result_ttl=60)
    return lambda: job.latest_result(timeout=30).return_value


def handle():
    parts.ready()
    worker().work()
