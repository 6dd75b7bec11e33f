//! The main loop that draws. This thread owns the screen; all that it knows of the crawl comes by
//! the channel, and is taken between two looks at the keys.

use crate::Shown;
use crate::report::{Event, Report, Row};
use millhand::{CancelToken, Pool};
use millhand_programs::screen::Screen;
use ratatui::Frame;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Row as Cells, Table};
use std::io;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// How soon a message is seen: nothing but a key wakes the wait for a key.
const LOOK: Duration = Duration::from_millis(50);

/// Shows the pages until the user stops the crawl, and what runs then has ended. The terminal is
/// then as it was before, also after an error or a panic.
pub(crate) fn run(pool: &Pool, events: &Receiver<Event>, stop: &CancelToken) -> io::Result<Shown> {
    let mut screen = Screen::enter()?;
    let mut tui = Tui {
        shown: Shown::default(),
        begun: Instant::now(),
        ended: None,
        top: None,
        height: 1,
    };
    loop {
        tui.take(events);
        let is_stopped = stop.is_cancelled();
        if is_stopped && tui.ended.is_some() {
            return Ok(tui.shown);
        }
        screen.draw(|frame| tui.draw(frame, pool, is_stopped))?;
        if event::poll(LOOK)? {
            match event::read()? {
                event::Event::Key(key) if key.kind == KeyEventKind::Press => tui.press(key, stop),
                _ => {}
            }
        }
    }
}

struct Tui {
    shown: Shown,
    begun: Instant,
    /// When the channel was found closed: no page is pending any more.
    ended: Option<Instant>,
    /// The first row on the screen. `None` while the table follows the newest page.
    top: Option<usize>,
    /// How many rows are on the screen.
    height: usize,
}

impl Tui {
    /// Takes the messages that are there, and waits for none. If they come without a pause, the
    /// screen and the keys have their turn, too.
    fn take(&mut self, events: &Receiver<Event>) {
        let begun = Instant::now();
        while begun.elapsed() < LOOK {
            match events.try_recv() {
                Ok(event) => {
                    let lines = self.shown.report.take(event);
                    self.shown.lines.extend(lines);
                }
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    self.ended.get_or_insert_with(Instant::now);
                    return;
                }
            }
        }
    }

    fn press(&mut self, key: KeyEvent, stop: &CancelToken) {
        let top = self.top();
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.shown.is_interrupted = true;
                stop.cancel();
            }
            KeyCode::Char('q') => drop(stop.cancel()),
            KeyCode::Up | KeyCode::Char('k') => self.top = Some(top.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.top = Some(top + 1),
            KeyCode::PageUp => self.top = Some(top.saturating_sub(self.height)),
            KeyCode::PageDown => self.top = Some(top + self.height),
            KeyCode::Home => self.top = Some(0),
            KeyCode::End => self.top = None,
            _ => {}
        }
    }

    fn top(&self) -> usize {
        let Report { newest, .. } = &self.shown.report;
        let last = self.shown.report.rows().len().saturating_sub(self.height);
        let follows = (newest + 1).saturating_sub(self.height);
        self.top.unwrap_or(follows).min(last)
    }

    fn draw(&mut self, frame: &mut Frame<'_>, pool: &Pool, is_stopped: bool) {
        let [title, pages, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(4),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        self.height = usize::from(pages.height.saturating_sub(3)).max(1); // borders and header
        frame.render_widget(self.title(pool, is_stopped), title);
        frame.render_widget(self.pages(), pages);
        let text = "q stop  ↑↓ scroll  PgUp PgDn Home  End follow";
        frame.render_widget(Line::from(text).dim(), keys);
    }

    fn title(&self, pool: &Pool, is_stopped: bool) -> Line<'static> {
        let counts = self.shown.report.counts;
        let took = self.ended.unwrap_or_else(Instant::now) - self.begun;
        let rate = counts.checked as f64 / took.as_secs_f64().max(0.001);
        let stats = pool.stats();
        let state = match self.ended {
            Some(_) => "finished".to_owned(),
            None if is_stopped => format!("stopping, {} run", stats.running),
            None => format!("{} run, {} wait for the rate", stats.running, stats.gated),
        };
        Line::from(format!(
            "pages checked: {}, broken links: {}, {rate:.1} per second, {:.0} s: {state}",
            counts.checked,
            counts.broken_links,
            took.as_secs_f64()
        ))
    }

    fn pages(&self) -> Table<'static> {
        let rows = self.shown.report.rows();
        let top = self.top();
        let cells = rows.iter().skip(top).take(self.height).map(row);
        let widths = [
            Constraint::Length(8),
            Constraint::Length(12),
            Constraint::Length(8),
            Constraint::Fill(2),
            Constraint::Fill(1),
        ];
        let header = ["state", "status", "time", "page", "found on"];
        Table::new(cells, widths)
            .header(Cells::new(header).style(Style::new().dim()))
            .block(Block::bordered().title(format!(" {} pages ", rows.len())))
    }
}

fn row(row: &Row) -> Cells<'static> {
    let (state, color) = match (&row.outcome, row.begun) {
        (Some(outcome), _) if outcome.is_broken() => ("broken", Color::Red),
        (Some(_), _) => ("done", Color::Green),
        (None, Some(_)) => ("fetching", Color::Yellow),
        (None, None) => ("waits", Color::DarkGray),
    };
    let status = row.outcome.as_ref().map(ToString::to_string);
    let took = row.took.or_else(|| row.begun.map(|begun| begun.elapsed()));
    Cells::new([
        Cell::new(state).style(Style::new().fg(color)),
        Cell::new(status.unwrap_or_default()),
        Cell::new(
            took.map(|took| format!("{} ms", took.as_millis()))
                .unwrap_or_default(),
        ),
        Cell::new(row.url.to_string()),
        Cell::new(
            row.from
                .first()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
    ])
}
