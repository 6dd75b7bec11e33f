//! How texts and events name a task.
//!
//! Layer: task.

use crate::id::TaskId;
use crate::panic::{self, Level, Value};
use crate::task::head::Site;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Names a task: its id, its name if it has one, and where it was submitted.
///
/// Its text is the one that the log uses.
///
/// ```
/// use millhand::observe::Event;
/// use millhand::task::TaskLabel;
///
/// fn line(event: &Event) -> Option<String> {
///     let label: TaskLabel = event.task()?;
///     Some(format!("{label}, from line {}", label.site.line()))
/// }
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskLabel {
    /// The id of the task.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// Where it was submitted.
    pub site: &'static Location<'static>,
}

impl TaskLabel {
    pub(crate) fn new(id: TaskId, name: Option<Arc<str>>, site: Site) -> Self {
        Self { id, name, site }
    }

    /// Logs a record about this task, with its fields as key-values.
    pub(crate) fn log(&self, level: Level, text: fmt::Arguments<'_>) {
        let about = [
            ("task_id", Value::from(self.id.number())),
            ("task_site", Value::from_display(&self.site)),
            ("task_name", Value::from(self.name.as_deref().unwrap_or(""))),
        ];
        let about = match self.name {
            Some(_) => &about[..],
            None => &about[..2],
        };
        panic::log_about(level, about, text);
    }
}

impl fmt::Display for TaskLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " `{name}`")?;
        }
        write!(f, " (submitted at {})", self.site)
    }
}
