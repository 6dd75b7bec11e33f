"""Dramatiq with RedisBroker: a worker of 16 threads. It has no call for many jobs at once."""

import sys
import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

import parts

broker = RedisBroker(url=parts.address)
broker.add_middleware(Results(backend=RedisBackend(url=parts.address)))
dramatiq.set_broker(broker)
countdown = parts.Countdown()


@dramatiq.actor
def noop(text):
    countdown.begin(text)


@dramatiq.actor(store_results=True)
def clock(text):
    return time.time_ns()


def enqueue():
    noop.send(parts.TEXT)


def consume():
    dramatiq.Worker(broker, worker_threads=parts.THREADS).start()


def process():
    start = time.perf_counter()
    consume()
    countdown.is_over.wait()
    return time.perf_counter() - start


def trip():
    message = clock.send(parts.TEXT)
    return lambda: message.get_result(block=True, timeout=30_000)


def handle():
    consume()
    parts.ready()
    sys.stdin.read()
