"""The results of the rounds: medians, their spread, ratios within the rounds, and the aims; as a table, as JSON, as a chart."""

import dataclasses
import html
import json
import re
import statistics

WIDTH, GAP, NAMES, BARS, LINE, HEAD, TOP = 620, 24, 172, 360, 17, 40, 90
CUT = 20
# As in the chart of the pools.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.page { fill: #ffffff } .head { font-size: 13px; font-weight: 600 } .title { font-size: 18px; font-weight: 600 }
.soft { fill: #57606a } .name { text-anchor: end } .bar { fill: #afb8c1 } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .page { fill: #0d1117 } .soft { fill: #9198a1 } .bar { fill: #484f58 } .ours { fill: #4493f8 }
}
"""


@dataclasses.dataclass(frozen=True)
class Contender:
    name: str
    program: str
    durability: str

    @property
    def is_ours(self):
        return self.program == "millhand"

    @property
    def group(self):
        """Those that promise the same. Huey has nothing between a flush for each commit and none at all."""
        return "normal" if self.durability == "off" else self.durability


@dataclasses.dataclass(frozen=True)
class Line:
    row: str
    figure: str
    title: str
    unit: str
    less_is_better: bool = False

    @property
    def is_of_jobs(self):
        """Of so many jobs: for others the size is a time."""
        return self.row.startswith(("process", "memory"))


def growth(jobs):
    return Line(f"growth-{jobs}", "figure", f"enqueue and process a job, behind {jobs:,} that are scheduled", "µs per job", True)


LINES = [
    Line("enqueue", "figure", "enqueue one by one, 1 thread", "jobs/s"),
    Line("enqueue-16", "figure", "enqueue one by one, 16 threads", "jobs/s"),
    Line("enqueue-1000", "figure", "enqueue by 1000, 1 thread", "jobs/s"),
    Line("process", "figure", "process jobs that wait, 1 process", "jobs/s"),
    Line("process-2", "figure", "process jobs that wait, 2 processes", "jobs/s"),
    Line("round-trip", "wake-50", "from the return of an enqueue to the handler in another process, median", "ms", True),
    Line("round-trip", "wake-99", "the same, 99 of 100", "ms", True),
    Line("round-trip", "trip-50", "from an enqueue to the result, through another process, median", "ms", True),
    Line("round-trip", "trip-99", "the same, 99 of 100", "ms", True),
    growth(1000),
    growth(100_000),
    growth(1_000_000),
]


class Results:
    title = "millhand's durable jobs beside other queues"
    lines = LINES
    legend = ("Medians. FULL: each commit is flushed. NORMAL, OFF, Memory: none is.", "»: a bar that goes on. Memory is beside the scale.")

    def __init__(self, contenders, missing):
        self.contenders = contenders
        self.missing = missing
        self.flushes = []
        self.syncs = {}
        self.answers = {}
        self.failures = []

    def add(self, contender, row, answer):
        self.answers.setdefault((contender.name, row), []).append(answer)
        if answer is None:
            self.failures.append(f"{contender.name}: {row}")

    def figures(self, name, row, figure="figure"):
        """One for each round; none where the measurement failed."""
        return [answer and answer.get(figure) for answer in self.answers.get((name, row), [])]

    def median(self, name, row, figure="figure"):
        return median(self.figures(name, row, figure))

    def ratio(self, ours, theirs):
        """The median of the ratios within the rounds, of two pairs of a contender and a row."""
        pairs = zip(self.figures(*ours), self.figures(*theirs))
        return median([a / b for a, b in pairs if a and b])

    def note(self, name, key):
        answers = [answer for (known, _), all in self.answers.items() if known == name for answer in all if answer]
        return next((str(answer[key]) for answer in answers if key in answer), "-")

    def size(self, name, row):
        return next((answer["size"] for answer in self.answers.get((name, row), []) if answer), None)

    def aims(self):
        flush = median(self.flushes)
        for group, huey in (("full", "Huey, FULL"), ("normal", "Huey, OFF")):
            ours = next((one.name for one in self.contenders if one.is_ours and one.durability == group), None)
            if ours is None:
                continue
            less = ", which flushes nothing" if huey == "Huey, OFF" else ""
            yield f"{ours}: process ≥ 10 × {huey}{less}", self.ratio((ours, "process"), (huey, "process")), 10, False
            rust = {one.name for one in self.contenders if one.durability == group and one.program in ("honker", "effectum", "apalis")}
            rust = [(value, name) for name in rust if (value := self.median(name, "process"))]
            if rust:
                best = max(rust)[1]
                yield f"{ours}: process ≥ 1.5 × {best}", self.ratio((ours, "process"), (best, "process")), 1.5, False
            wake = 1 + (flush if group == "full" else 0)
            yield f"{ours}: wake ≤ {wake:.2f} ms, median", self.median(ours, "round-trip", "wake-50"), wake, True
            if group == "normal":
                grown = self.ratio((ours, "growth-1000000"), (ours, "growth-1000"))
                yield f"{ours}: behind 1,000,000 scheduled ≤ 1.5 × behind 1,000", grown, 1.5, True
            elif flush >= 0.5:
                yield f"{ours}: 16 threads ≥ 8 × 1 thread", self.ratio((ours, "enqueue-16"), (ours, "enqueue")), 8, False
            else:
                yield f"{ours}: 16 threads: commits per enqueue ≤ 1/8", self.commits(ours, "enqueue-16"), 1 / 8, True

    def commits(self, name, row):
        """Of each operation that was handed in, by the counters of our storage. Each commit is one flush."""
        shares = []
        for answer in self.answers.get((name, row), []):
            counted = re.findall(r"\d+", answer.get("counters", "")) if answer else []
            if len(counted) == 2:
                shares.append(int(counted[1]) / int(counted[0]))
        return median(shares)

    def write(self, out, machine, note):
        out.mkdir(parents=True, exist_ok=True)
        text = self.table(machine, note)
        (out / "table.md").write_text(text)
        (out / "results.json").write_text(self.json(machine, note))
        (out / "chart.svg").write_text(self.chart(machine))
        print(text)

    def footer(self, machine, note):
        flush = f"a flush of 4 KiB takes {show(median(self.flushes))} ms ({show(min(self.flushes))} to {show(max(self.flushes))})"
        words = [f"{machine['cpu']}, {machine['cores']} cores", machine["kernel"], machine["compiler"], f"millhand at {machine['revision']}"]
        return "; ".join([*words, machine["date"], flush, *([note] if note else [])])

    def rounds(self):
        return len(self.flushes)

    def heading(self):
        text = "| contender | `synchronous` | journal | flushes per enqueue | what it promises |\n| --- | --- | --- | ---: | --- |\n"
        for one in self.contenders:
            synchronous = one.durability.upper() if one.is_ours else self.note(one.name, "synchronous")
            journal = "wal" if one.is_ours and one.durability != "memory" else self.note(one.name, "journal_mode")
            if one.durability == "memory":
                synchronous, journal = "-", "-"
            text += f"| {one.name} | {synchronous} | {journal} | {show(self.syncs.get(one.name))} | {PROMISES[one.program]} |\n"
        return text + "\n`synchronous` as asked of the peer's connection: 0 OFF, 1 NORMAL, 2 FULL. Flushes as strace counts them.\n"

    def table(self, machine, note):
        text = f"# {self.title}\n\n{self.footer(machine, note)}. Rounds: {self.rounds()}."
        text += f" Figures are medians, and where all rounds lie; ratios are of one round.\n\n{self.heading()}"
        for name, why in self.missing.items():
            text += f"\nWithout {name}, which cannot be built here: `{why}`.\n"
        text += "\n| aim | measured | |\n| --- | ---: | --- |\n"
        for aim, value, bound, less in self.aims():
            met = value is not None and (value <= bound if less else value >= bound)
            text += f"| {aim} | {show(value)} | {'-' if value is None else 'met' if met else 'missed'} |\n"
        for line in self.lines:
            measured = [one for one in self.contenders if self.median(one.name, line.row, line.figure) is not None]
            if not measured:
                continue
            text += f"\n## {line.title}\n\n{line.unit}, {'less' if line.less_is_better else 'more'} is better\n\n"
            text += "| contender | median | from | to | ours, as a multiple |\n| --- | ---: | ---: | ---: | ---: |\n"
            for one in measured:
                text += self.table_line(line, one)
        return text

    def table_line(self, line, one):
        figures = [figure for figure in self.figures(one.name, line.row, line.figure) if figure is not None]
        ours = next((other.name for other in self.contenders if other.is_ours and other.durability == one.group), None)
        ratio = None if one.is_ours else self.ratio((ours, line.row, line.figure), (one.name, line.row, line.figure))
        size = self.size(one.name, line.row)
        name = f"{one.name} ({size:,} jobs)" if line.is_of_jobs else one.name
        return f"| {name} | {show(median(figures))} | {show(min(figures))} | {show(max(figures))} | {show(ratio)} |\n"

    def extra(self):
        return {"flush_ms": self.flushes, "flushes_per_enqueue": self.syncs}

    def json(self, machine, note):
        lines = [
            json.dumps({"contender": name, "row": row, "rounds": answers}, ensure_ascii=False) for (name, row), answers in self.answers.items()
        ]
        head = {"machine": machine, "note": note, **self.extra(), "missing": self.missing}
        return json.dumps(head, ensure_ascii=False)[:-1] + ',\n"measured": [\n' + ",\n".join(lines) + "\n]}\n"

    def chart(self, machine):
        panels, y = [], TOP
        for line in self.lines:
            bars = [(one, self.median(one.name, line.row, line.figure)) for one in self.contenders]
            bars = [(one, value) for one, value in bars if value is not None]
            if bars:
                panels.append(panel(line, bars, y))
                y += HEAD + LINE * len(bars) + 18
        words = self.footer(machine, "").split("; ")
        height = y + 16 * len(words) + 12
        text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">\n'
        text += f'<title>{html.escape(self.title)}</title>\n<style>{STYLE}</style>\n<rect class="page" width="{WIDTH}" height="{height}"/>\n'
        text += label("title", GAP, 32, self.title)
        text += label("soft", GAP, 52, self.legend[0]) + label("soft", GAP, 68, self.legend[1])
        text += "".join(panels)
        for number, word in enumerate(words):
            text += label("soft", GAP, y + 16 * (number + 1), word)
        return text + "</svg>\n"


PROMISES = {
    "millhand": "at least once; leases, ends fenced by claim numbers, retries",
    "honker": "at least once; a job is claimed for 300 s",
    "apalis": "at least once; lost workers are noticed",
    "effectum": "one process; running jobs are noticed at a start",
    "plainjob": "one process; jobs that take too long are requeued",
    "huey": "at most once: a job that is claimed is deleted",
}


def panel(line, bars, y):
    text = label("head", GAP, y + 14, line.title) + label("soft", GAP, y + 30, f"{line.unit}, {'shorter' if line.less_is_better else 'longer'} is better")
    values = [max(value, 0) for one, value in bars if one.durability != "memory"] or [value for _, value in bars]
    scale = max(values) or 1
    if line.less_is_better:
        scale = min(scale, CUT * max(min(values), 1e-3))
    for number, (one, value) in enumerate(bars):
        top = y + HEAD + LINE * number
        length = min(max(value, 0) / scale, 1) * BARS
        kind = "ours" if one.is_ours else "bar"
        text += f'<rect class="{kind}" x="{NAMES}" y="{top + 1}" width="{length:.1f}" height="12"/>\n'
        text += label("name", NAMES - 6, top + 11, one.name)
        text += label("figure", NAMES + length + 5, top + 11, f"{'» ' if value > scale else ''}{show(value)}")
    return text


def label(kind, x, y, words):
    return f'<text class="{kind}" x="{x:.1f}" y="{y}">{html.escape(words)}</text>\n'


def median(figures):
    figures = [figure for figure in figures if figure is not None]
    return statistics.median(figures) if figures else None


def show(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
