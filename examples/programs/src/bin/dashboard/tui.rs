//! The pools in the terminal: what is shown is asked for four times a second, and keys change what
//! is selected. `view.rs` draws it.

use crate::Shown;
use crate::view::{View, draw};
use millhand::CancelToken;
use millhand::observe::TaskInfo;
use millhand::task::{CancelOutcome, TaskId};
use millhand_programs::screen::Screen;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

const FRAME: Duration = Duration::from_millis(250);
/// How soon a signal is noticed: nothing wakes the wait for a key.
const LOOK: Duration = Duration::from_millis(50);
/// So many lines of the history are asked for, which is more than a terminal shows.
const LINES: usize = 50;
/// So many frames of the rate, as columns.
const COLUMNS: usize = 240;

/// Shows the pools until `q`, Ctrl-C, or the token. The terminal is then as it was before, also
/// after an error or a panic.
pub(crate) fn run(
    pools: &[Shown],
    address: &str,
    token: Option<&str>,
    stop: &CancelToken,
) -> io::Result<()> {
    let mut screen = Screen::enter()?;
    let mut tui = Tui {
        pools,
        address,
        token,
        rates: pools.iter().map(|_| VecDeque::new()).collect(),
        at: 0,
        selected: None,
        row: 0,
        message: String::new(),
    };
    let mut due = Instant::now();
    while !stop.is_cancelled() {
        let now = Instant::now();
        if now >= due {
            tui.take_rates();
            due = now + FRAME;
        }
        let view = tui.look();
        screen.draw(|frame| draw(frame, &view))?;
        while due > Instant::now() && !stop.is_cancelled() {
            if !event::poll(LOOK.min(due.saturating_duration_since(Instant::now())))? {
                continue;
            }
            match event::read()? {
                Event::Key(key) if key.kind == KeyEventKind::Press => {
                    if tui.press(key, &view) {
                        return Ok(());
                    }
                }
                Event::Resize(..) => {}
                _ => continue,
            }
            break; // drawn at once
        }
    }
    Ok(())
}

/// What the user has chosen to see.
struct Tui<'a> {
    pools: &'a [Shown],
    address: &'a str,
    token: Option<&'a str>,
    /// The rate of each pool at the last frames, the newest last.
    rates: Vec<VecDeque<u64>>,
    /// The pool that is shown.
    at: usize,
    /// The task that is selected, and its row. Once the task has ended, the row stays.
    selected: Option<TaskId>,
    row: usize,
    message: String,
}

impl Tui<'_> {
    fn take_rates(&mut self) {
        for (shown, rates) in self.pools.iter().zip(&mut self.rates) {
            let rate = shown
                .pool
                .stats()
                .rates
                .map_or(0.0, |rates| rates.last_second);
            rates.push_back(rate.round() as u64);
            if rates.len() > COLUMNS {
                rates.pop_front();
            }
        }
    }

    /// Asks the pool that is shown.
    fn look(&mut self) -> View {
        let Shown { pool, history } = &self.pools[self.at];
        let tasks = pool.tasks();
        self.keep_selection(tasks.rows());
        let names = self.pools.iter().map(|shown| shown.pool.stats().pool);
        View {
            names: names.collect(),
            at: self.at,
            address: self.address.to_owned(),
            token: self.token.map(str::to_owned),
            stats: pool.stats(),
            rates: self.rates[self.at].iter().copied().collect(),
            tasks,
            row: self.row,
            schedules: pool.schedules(),
            times: pool.histograms(),
            history: history.newest(LINES),
            message: self.message.clone(),
        }
    }

    /// Finds the selected task in the new list. If it has ended, the task in its row is selected.
    fn keep_selection(&mut self, rows: &[TaskInfo]) {
        let found = rows
            .iter()
            .position(|row| row.id.is_some() && row.id == self.selected);
        self.row = found.unwrap_or(self.row.min(rows.len().saturating_sub(1)));
        self.selected = rows.get(self.row).and_then(|row| row.id);
    }

    /// Does what a key says. Returns true if it is the one that ends the program.
    fn press(&mut self, key: KeyEvent, view: &View) -> bool {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return true,
            KeyCode::Char('q') => return true,
            KeyCode::Char('c') => self.message = self.cancel(),
            KeyCode::Tab => {
                self.at = (self.at + 1) % self.pools.len();
                (self.selected, self.row) = (None, 0);
                self.message.clear();
            }
            KeyCode::Up | KeyCode::Char('k') => self.select(self.row.saturating_sub(1), view),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.row + 1, view),
            _ => {}
        }
        false
    }

    fn select(&mut self, row: usize, view: &View) {
        if let Some(task) = view.tasks.rows().get(row) {
            (self.selected, self.row) = (task.id, row);
        }
        self.message.clear();
    }

    fn cancel(&self) -> String {
        let Some(id) = self.selected else {
            return "no task is selected".to_owned();
        };
        match self.pools[self.at].pool.cancel(id) {
            Some(CancelOutcome::Settled) => format!("task {id} is cancelled"),
            Some(CancelOutcome::Requested) => format!("task {id} is asked to stop"),
            _ => format!("task {id} has ended"),
        }
    }
}
