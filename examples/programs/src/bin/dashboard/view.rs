//! Draws what a pool does. It asks no pool: all that it needs is in the [`View`].

use crate::history::Line as HistoryLine;
use millhand::observe::{ScheduleInfo, Stats, TaskInfo, TaskTable, Times, WorkerState};
use millhand::task::TaskState;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Sparkline, Table, TableState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// All that a frame shows.
pub(crate) struct View {
    pub(crate) names: Vec<Arc<str>>,
    /// The pool among them.
    pub(crate) at: usize,
    pub(crate) address: String,
    pub(crate) token: Option<String>,
    pub(crate) stats: Stats,
    pub(crate) rates: Vec<u64>,
    pub(crate) tasks: TaskTable,
    /// The selected one of the tasks.
    pub(crate) row: usize,
    pub(crate) schedules: Vec<ScheduleInfo>,
    pub(crate) times: Vec<Times>,
    pub(crate) history: Vec<HistoryLine>,
    pub(crate) message: String,
}

pub(crate) fn draw(frame: &mut Frame<'_>, view: &View) {
    // A terminal of 24 lines has no place for the times.
    let times_height = frame.area().height.saturating_sub(26).min(11);
    let [title, top, middle, times_area, bottom, keys] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(5),
        Constraint::Min(6),
        Constraint::Length(times_height),
        Constraint::Length(8),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let halves = |area, left| {
        let parts = [Constraint::Percentage(left), Constraint::Min(0)];
        Layout::horizontal(parts).areas(area)
    };
    let [counts_area, rate_area]: [Rect; 2] = halves(top, 65);
    let [workers_area, tasks_area] = halves(middle, 35);
    let [history_area, schedules_area] = halves(bottom, 60);
    frame.render_widget(titles(view), title);
    frame.render_widget(counts(&view.stats), counts_area);
    rate(frame, rate_area, view);
    frame.render_widget(workers(&view.tasks), workers_area);
    tasks(frame, tasks_area, view);
    frame.render_widget(times(&view.times), times_area);
    frame.render_widget(history(&view.history), history_area);
    frame.render_widget(schedules(&view.schedules), schedules_area);
    frame.render_widget(footer(view), keys);
}

fn titles(view: &View) -> Line<'static> {
    let mut spans = vec![Span::raw("pools ")];
    for (at, name) in view.names.iter().enumerate() {
        let name = Span::raw(format!(" {name} "));
        spans.push(if at == view.at { name.reversed() } else { name });
    }
    let up = short(view.stats.uptime);
    spans.push(Span::raw(format!("  {}  up {up}", view.address)).dim());
    Line::from(spans)
}

fn counts(stats: &Stats) -> Paragraph<'static> {
    let line = |counts: &[(&str, u64)]| {
        let spans = counts.iter().flat_map(|(what, n)| {
            let n = Span::raw(n.to_string());
            [Span::raw(format!("{what} ")).dim(), n, Span::raw("  ")]
        });
        Line::from(spans.collect::<Vec<_>>())
    };
    let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    let lines = vec![
        line(&[
            ("submitted", stats.submitted),
            ("succeeded", stats.succeeded),
            ("retries", stats.retries),
            ("rejected", stats.rejected),
        ]),
        line(&[
            ("failed", stats.failed),
            ("panicked", stats.panicked),
            ("timed out", stats.timed_out),
            ("expired", stats.expired),
            ("cancelled", stats.cancelled),
        ]),
        line(&[
            ("running", count(stats.running)),
            ("queued", count(stats.queued)),
            ("gated", count(stats.gated)),
            ("delayed", count(stats.delayed)),
            ("waiting", count(stats.waiting)),
        ]),
    ];
    Paragraph::new(lines).block(Block::bordered().title("tasks so far, and now"))
}

/// The tasks per second of the last minute, as columns that end at the right edge.
fn rate(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let now = view.rates.last().copied().unwrap_or_default();
    let block = Block::bordered().title(format!("tasks per second: {now}"));
    let columns = usize::from(block.inner(area).width);
    let newest = &view.rates[view.rates.len().saturating_sub(columns)..];
    let line = Sparkline::default().data(newest).block(block);
    frame.render_widget(line.style(Style::new().fg(Color::Cyan)), area);
}

fn workers(tasks: &TaskTable) -> Table<'static> {
    let rows = tasks.workers().iter().map(|worker| {
        let (state, color) = match worker.state {
            WorkerState::Idle => ("idle", Color::DarkGray),
            WorkerState::Busy => ("busy", Color::Green),
            WorkerState::Blocked => ("waits", Color::Yellow),
            WorkerState::Hung => ("hung", Color::Red),
            _ => ("", Color::Reset),
        };
        // The innermost body: a body that waits for a task may run it on its own stack.
        let task = worker.tasks.last();
        Row::new([
            Cell::new(worker.index.to_string()),
            Cell::new(state).style(Style::new().fg(color)),
            Cell::new(task.map(name).unwrap_or_default()),
            Cell::new(task.map(age).unwrap_or_default()),
        ])
    });
    let widths = [
        Constraint::Length(3),
        Constraint::Length(5),
        Constraint::Min(8),
        Constraint::Length(7),
    ];
    Table::new(rows, widths).block(Block::bordered().title("workers"))
}

fn tasks(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let rows = view.tasks.rows();
    let title = match view.tasks.unlisted() {
        0 => format!("{} live tasks", rows.len()),
        more => format!("{} live tasks, and {more} more", rows.len()),
    };
    let lines = rows.iter().map(|task| {
        let id = task.id.map(|id| id.to_string()).unwrap_or_default();
        Row::new([id, name(task), state(task), age(task), doing(task)])
    });
    let widths = [
        Constraint::Length(6),
        Constraint::Length(12),
        Constraint::Length(8),
        Constraint::Length(7),
        Constraint::Min(10),
    ];
    let table = Table::new(lines, widths)
        .row_highlight_style(Style::new().reversed())
        .block(Block::bordered().title(title));
    let selected = (!rows.is_empty()).then_some(view.row);
    let mut state = TableState::new().with_selected(selected);
    frame.render_stateful_widget(table, area, &mut state);
}

fn name(task: &TaskInfo) -> String {
    task.name.as_deref().unwrap_or("a task").to_owned()
}

fn age(task: &TaskInfo) -> String {
    task.age.map(|age| age.to_string()).unwrap_or_default()
}

fn state(task: &TaskInfo) -> String {
    let state = match task.state {
        TaskState::Delayed { .. } => "delayed",
        TaskState::Queued => "queued",
        TaskState::Gated => "gated",
        TaskState::Waiting => "waits",
        TaskState::Running => "runs",
        TaskState::Retrying { .. } => "retries",
        _ => "ends",
    };
    state.to_owned()
}

/// How far the task has come, or what it waits for.
fn doing(task: &TaskInfo) -> String {
    let mut parts = Vec::new();
    if let Some((done, total)) = task.progress {
        parts.push(format!("{done} of {total}"));
    }
    parts.extend(task.waits_for.iter().map(ToString::to_string));
    if task.attempt > 1 {
        parts.push(format!("attempt {}", task.attempt));
    }
    parts.join(", ")
}

/// How long the tasks of each name waited and ran.
fn times(times: &[Times]) -> Table<'static> {
    let rows = times.iter().map(|times| {
        let Times {
            name, waited, ran, ..
        } = times;
        let quantiles = [waited.p50, waited.p99, ran.p50, ran.p99, ran.max].map(short);
        let name = name.as_deref().unwrap_or("all").to_owned();
        Row::new([name, ran.count.to_string()].into_iter().chain(quantiles))
    });
    let header = ["name", "runs", "waited p50", "p99", "ran p50", "p99", "max"];
    let widths = [
        Constraint::Length(14),
        Constraint::Length(7),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
    ];
    Table::new(rows, widths)
        .header(Row::new(header).style(Style::new().dim()))
        .block(Block::bordered().title("times"))
}

fn history(lines: &[HistoryLine]) -> Table<'static> {
    let rows = lines.iter().map(|line| {
        let color = match line.what {
            "slow" | "stalled" | "schedule_skipped" => Color::Yellow,
            _ => Color::Red,
        };
        Row::new([
            Cell::new(short(line.at.elapsed())),
            Cell::new(line.what.replace('_', " ")).style(Style::new().fg(color)),
            Cell::new(line.name.clone()),
            Cell::new(line.text.clone()),
        ])
    });
    let widths = [
        Constraint::Length(6),
        Constraint::Length(9),
        Constraint::Length(11),
        Constraint::Min(10),
    ];
    Table::new(rows, widths).block(Block::bordered().title("what went wrong"))
}

fn schedules(schedules: &[ScheduleInfo]) -> Table<'static> {
    let rows = schedules.iter().map(|schedule| {
        let left = |next: SystemTime| next.duration_since(SystemTime::now()).unwrap_or_default();
        let next = match schedule.next_run {
            _ if schedule.is_paused => "paused".to_owned(),
            Some(next) => format!("in {}", short(left(next))),
            None => "runs".to_owned(),
        };
        Row::new([
            schedule.name.as_deref().unwrap_or("a schedule").to_owned(),
            next,
            schedule.runs.to_string(),
            schedule.left_out.to_string(),
            schedule.failures.to_string(),
        ])
    });
    let widths = [
        Constraint::Min(8),
        Constraint::Length(8),
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Length(6),
    ];
    let header =
        Row::new(["schedule", "next", "runs", "skips", "failed"]).style(Style::new().dim());
    Table::new(rows, widths)
        .header(header)
        .block(Block::bordered().title("schedules"))
}

fn footer(view: &View) -> Line<'static> {
    let keys = Span::raw("q quit  Tab pool  ↑↓ select  c cancel").dim();
    let rest = match &view.token {
        _ if !view.message.is_empty() => format!("  {}", view.message),
        Some(token) => format!("  token {token}"),
        None => String::new(),
    };
    Line::from(vec![keys, Span::raw(rest)])
}

/// A time in a few characters.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{:.1}s", time.as_secs_f64()),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
    }
}
