"""What the contenders in Python share: how they time, and how they answer `run`."""

import json
import os
import subprocess
import sys
import threading
import time

THREADS = 16
PRODUCERS = 16
BATCH = 1000
TEXT = "x" * 100

name, measurement, durability, address, size = sys.argv[1:]
size = int(size)


class Countdown:
    """Of the jobs that are still to begin."""

    def __init__(self):
        self.left = size
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.first = None

    def begin(self, text):
        assert len(text) == 100
        with self.lock:
            self.first = self.first or time.perf_counter()
            self.left -= 1
            if self.left == 0:
                self.is_over.set()


def answer(**figures):
    print(json.dumps(figures), flush=True)


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


def trips(trip):
    """Between two processes. `trip` enqueues, and returns what waits for the time when the handler began."""
    command = [sys.executable, *sys.argv[:2], "handle", *sys.argv[3:]]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other.stdout.readline()
    wakes, whole = [], []
    for number in range(size + 5):
        time.sleep(0.005)
        began = time.time_ns()
        wait = trip()
        enqueued = time.time_ns()
        handled = wait()
        back = time.time_ns()
        if number >= 5:
            wakes.append((handled - enqueued) / 1e6)
            whole.append((back - began) / 1e6)
    other.kill()
    at = lambda figures, share: sorted(figures)[min(len(figures) * share // 100, len(figures) - 1)]
    answer(**{f"{name}-{share}": at(of, share) for name, of in (("wake", wakes), ("trip", whole)) for share in (50, 99)})


def ready():
    print("ready", flush=True)


def run(peer):
    if measurement == "enqueue":
        answer(figure=rate(size / 1000, peer.enqueue))
    elif measurement == "enqueue-16":
        answer(figure=rate_of_all(size / 1000, peer.enqueue))
    elif measurement == "enqueue-1000":
        answer(figure=rate(size / 1000, lambda: peer.enqueue_many(BATCH), BATCH))
    elif measurement == "fill":
        if hasattr(peer, "enqueue_many"):
            for begun in range(0, size, BATCH):
                peer.enqueue_many(min(BATCH, size - begun))
        else:
            for _ in range(size):
                peer.enqueue()
    elif measurement == "process":
        answer(figure=size / peer.process())
    elif measurement == "round-trip":
        trips(peer.trip)
    elif measurement == "handle":
        peer.handle()
    else:
        sys.exit(f"no measurement {measurement!r}")
    # Without waiting for the threads of the consumer.
    os._exit(0)
