//! The whole terminal for a program, and the way back.

use crate::lock;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::fmt;
use std::io::{self, Stdout, stdout};
use std::ops::{Deref, DerefMut};
use std::sync::Mutex;
use std::thread::{self, ThreadId};

/// The thread that has entered the screen, while the terminal is not as it was.
static ENTERED: Mutex<Option<ThreadId>> = Mutex::new(None);

/// The terminal while a program has all of it: another screen, and each key at once. Its drop puts
/// the terminal back as it was, also in an unwinding. [`print_no_task_panics`] does so before the
/// message of the panic, which would otherwise be lost with the other screen.
///
/// `ratatui::init` is not used: its hook leaves the screen at each panic, also that of a task, and
/// the program would go on drawing.
///
/// Ctrl-C is a key meanwhile, and no signal.
///
/// [`print_no_task_panics`]: crate::print_no_task_panics
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal. One screen at a time.
    ///
    /// # Errors
    /// If the standard output is no terminal, or cannot be written.
    pub fn enter() -> io::Result<Self> {
        let terminal = Terminal::new(CrosstermBackend::new(stdout()))?;
        enable_raw_mode()?;
        *lock(&ENTERED) = Some(thread::current().id());
        // From here on its drop leaves the screen, also where the next step fails.
        let mut screen = Self { terminal };
        execute!(stdout(), EnterAlternateScreen)?;
        screen.terminal.clear()?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave_if_entered_here();
    }
}

/// Puts the terminal back as it was, if this thread has a [`Screen`]. The screen is over then, and
/// must not be drawn on any more.
pub(crate) fn leave_if_entered_here() {
    let mut entered = lock(&ENTERED);
    if *entered == Some(thread::current().id()) {
        *entered = None;
        // Each step is tried, and its error ignored: the terminal may be gone.
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

impl Deref for Screen {
    type Target = Terminal<CrosstermBackend<Stdout>>;

    fn deref(&self) -> &Self::Target {
        &self.terminal
    }
}

impl DerefMut for Screen {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.terminal
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { terminal: _ } = self;
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}
