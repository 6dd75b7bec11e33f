"""What is measured on a Redis server, and the aims. How the results are written is in the report of the other queues."""

import statistics

import report
from report import Line, show

OURS = {"none": "millhand", "everysec": "millhand, AOF"}
PROMISES = {
    "millhand": "100 slots, 4 threads; at least once: leases, ends fenced by claim numbers, retries",
    "apalis": "100 at once, 4 threads of tokio; at least once: lost workers are noticed",
    "huey": "16 threads; at most once: a job that is claimed is deleted",
    "rq": "1 job at a time, a process forked for each; at most once: lost workers are noticed",
    "rq-simple": "1 job at a time, in the worker's process; at most once: lost workers are noticed",
    "celery": "16 threads; at most once: a job is acknowledged before it begins",
    "dramatiq": "16 threads; at least once: lost workers are noticed",
    "bullmq": "100 at once, 1 thread; at least once: a lock for each job",
}


class Results(report.Results):
    title = "millhand's durable jobs on Redis, beside other queues on Redis"
    lines = [
        Line("enqueue", "figure", "enqueue one by one, 1 thread", "jobs/s"),
        Line("enqueue-16", "figure", "enqueue one by one, 16 threads", "jobs/s"),
        Line("enqueue-1000", "figure", "enqueue by 1000, 1 thread", "jobs/s"),
        Line("process", "figure", "process jobs that wait, 1 process", "jobs/s"),
        Line("process", "server", "the server's processor time for a job that is processed", "µs per job", True),
        Line("process", "script", "how long its scripts take for that job", "µs per job", True),
        Line("process", "commands", "commands for a job that is processed, those of scripts included", "per job", True),
        Line("process", "reads", "times that the server reads from a connection, for a job that is processed", "per job", True),
        Line("round-trip", "wake-50", "from the return of an enqueue to the handler in another process, median", "ms", True),
        Line("round-trip", "wake-99", "the same, 99 of 100", "ms", True),
        Line("round-trip", "trip-50", "from an enqueue to the result, through another process, median", "ms", True),
        Line("round-trip", "trip-99", "the same, 99 of 100", "ms", True),
        Line("memory", "figure", "the server's memory for a job that waits", "bytes per job", True),
        Line("idle", "processor", "the processor time of a consumer without jobs", "% of a core", True),
        Line("idle", "commands", "commands of a consumer without jobs, those of scripts included", "per second", True),
    ]
    legend = ("Medians. AOF: the server writes a log, and flushes it each second.", "»: a bar that goes on.")

    def __init__(self, contenders, missing, versions):
        super().__init__(contenders, missing)
        self.versions = versions
        self.loads = []

    def rounds(self):
        return len(self.loads)

    def extra(self):
        return {"versions": self.versions, "loads": self.loads}

    def footer(self, machine, note):
        loads = f"load of the machine before a round: {show(statistics.median(self.loads))} ({show(min(self.loads))} to {show(max(self.loads))})"
        words = [f"{machine['cpu']}, {machine['cores']} cores, for server, producer and consumer together", machine["kernel"], machine["compiler"]]
        return "; ".join([*words, self.versions["redis"], f"millhand at {machine['revision']}", machine["date"], loads, *([note] if note else [])])

    def heading(self):
        text = "The server has no persistence. Where it says AOF it has `appendonly yes`, `appendfsync everysec`. Each measurement has a server of its own.\n\n"
        text += "| contender | version | how it works |\n| --- | --- | --- |\n"
        for one in self.contenders:
            if one.durability == "none":
                text += f"| {one.name} | {self.versions.get(one.program, '-')} | {PROMISES[one.program]} |\n"
        return text

    def aims(self):
        ours = OURS["none"]
        rows = {one.program: one.name for one in self.contenders if one.durability == "none"}
        for program, bound in (("huey", 5), ("rq", 50), ("rq-simple", 10), ("celery", 10), ("dramatiq", 5), ("bullmq", 1.5), ("apalis", 2)):
            if program in rows:
                yield f"process ≥ {bound} × {rows[program]}", self.ratio((ours, "process"), (rows[program], "process")), bound, False
        if "bullmq" in rows:
            theirs = rows["bullmq"]
            yield f"enqueue, 1 thread ≥ 1 × {theirs}", self.ratio((ours, "enqueue"), (theirs, "enqueue")), 1, False
            yield f"enqueue by 1000 ≥ 1.5 × {theirs}", self.ratio((ours, "enqueue-1000"), (theirs, "enqueue-1000")), 1.5, False
        yield "process ≥ 40,000 jobs/s (on 4 cores)", self.median(ours, "process"), 40_000, False
        yield "enqueue, 16 threads ≥ 60,000 jobs/s (on 4 cores)", self.median(ours, "enqueue-16"), 60_000, False
        yield "wake ≤ 0.5 ms, median", self.median(ours, "round-trip", "wake-50"), 0.5, True
        # The payload is JSON: an object with a text of 100 bytes.
        yield "memory ≤ 350 bytes and the payload of 111", self.median(ours, "memory"), 461, True
        yield "idle consumer ≤ 0.1 % of a core", self.median(ours, "idle", "processor"), 0.1, True
