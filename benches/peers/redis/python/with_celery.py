"""Celery with Redis as broker: a worker of 16 threads, without what workers say to each other. It has no call for many jobs at once."""

import os
import time

from celery import Celery
from celery.signals import worker_ready

import parts

app = Celery("jobs", broker=parts.address, backend=parts.address)
app.conf.update(worker_hijack_root_logger=False, worker_redirect_stdouts=False)
countdown = parts.Countdown()


@app.task(name="noop", ignore_result=True)
def noop(text):
    countdown.begin(text)
    if parts.measurement == "process" and countdown.is_over.is_set():
        parts.answer(figure=parts.size / (time.perf_counter() - countdown.first))
        os._exit(0)


@app.task(name="clock")
def clock(text):
    return time.time_ns()


@worker_ready.connect
def say_ready(**_):
    if parts.measurement == "handle":
        parts.ready()


def enqueue():
    noop.delay(parts.TEXT)


def handle():
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=CRITICAL"]
    app.worker_main(["--quiet", "worker", "--pool=threads", f"--concurrency={parts.THREADS}", *options])


def process():
    """From the first job on, since the worker takes about a second to start. The last job answers."""
    handle()


def trip():
    result = clock.delay(parts.TEXT)
    return lambda: result.get(timeout=30)
