//! Jobs on the page of a dashboard.
//!
//! Layer: jobs.

use crate::dashboard::{Panel, PanelAction};
use crate::jobs::error::JobsError;
use crate::jobs::face::Jobs;
use crate::jobs::id::JobId;
use crate::jobs::look::{Filter, JobInfo, JobState, Page, QueueChange};
use serde_json::{Value, json};

/// A panel has at most so many jobs.
const MOST_ROWS: usize = 100;

/// The queues: how many jobs each has in which state, with buttons that pause it and let it go on.
///
/// ```
/// use millhand::dashboard::Dashboard;
/// use millhand::jobs::{JobState, Jobs, Memory};
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let jobs = Jobs::open(Memory::new())?;
/// let page = Dashboard::builder()
///     .pool(&pool)
///     .panel(jobs.clone())
///     .panel(jobs.panel(JobState::Running))
///     .panel(jobs.panel(JobState::Dead))
///     .serve("127.0.0.1:0")?;
/// # drop(page);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Panel for Jobs {
    fn title(&self) -> String {
        format!("queues in {}", self.facts().name)
    }

    fn json(&self) -> String {
        let rows = self.counts().map(|counts| {
            let rows = counts.queues.iter().map(|queue| {
                json!({
                    "id": queue.queue,
                    "ready": queue.ready,
                    "running": queue.running,
                    "scheduled": queue.scheduled,
                    "paused": if queue.paused { "yes" } else { "" },
                })
            });
            rows.collect()
        });
        text(rows)
    }

    fn actions(&self) -> Vec<PanelAction> {
        ["pause", "resume"].map(PanelAction::per_row).into()
    }

    fn act(&self, action: &str, row: Option<&str>) -> Result<String, String> {
        let queue = row.ok_or("no queue is named")?;
        let change = match action {
            "pause" => QueueChange::Pause,
            _ => QueueChange::Resume,
        };
        let changed = self.set_queue(queue, change);
        changed.map_err(|error| error.to_string())?;
        Ok(format!("{queue}: {action}"))
    }
}

/// The jobs in one state, for the page of a dashboard. From [`Jobs::panel`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Debug)]
pub struct JobsPanel {
    jobs: Jobs,
    state: JobState,
}

impl Jobs {
    /// Makes a panel with the first 100 jobs in a state. Those that have not ended can be cancelled
    /// there, and dead ones can be tried again or removed.
    pub fn panel(&self, state: JobState) -> JobsPanel {
        JobsPanel {
            jobs: self.clone(),
            state,
        }
    }
}

impl JobsPanel {
    fn rows(&self) -> Result<Vec<Value>, JobsError> {
        let filter = Filter {
            state: Some(self.state),
            ..Filter::default()
        };
        let page = Page {
            after: JobId(0),
            most: MOST_ROWS,
        };
        let jobs = self.jobs.storage().list(&filter, page)?;
        Ok(jobs.iter().map(row).collect())
    }

    fn change(&self, action: &str, job: JobId) -> Result<String, JobsError> {
        let filter = Filter {
            ids: Some(vec![job]),
            state: Some(self.state),
            ..Filter::default()
        };
        let changed = match action {
            "cancel" => {
                let outcome = self.jobs.storage().cancel(job)?;
                return Ok(format!("{job}: {outcome:?}"));
            }
            "retry" => self.jobs.retry_dead(&filter)?,
            _ => self.jobs.purge(&filter)?,
        };
        Ok(match changed {
            0 => format!("{job}: nothing changed"),
            _ => format!("{job}: {action}"),
        })
    }
}

fn row(job: &JobInfo) -> Value {
    json!({
        "id": job.id.0,
        "queue": job.queue,
        "kind": job.kind,
        "priority": job.priority,
        "failures": job.failures,
        "crashes": job.crashes,
        "error": job.error,
    })
}

fn text(rows: Result<Vec<Value>, JobsError>) -> String {
    match rows {
        Ok(rows) => Value::from(rows).to_string(),
        Err(error) => json!({ "error": error.to_string() }).to_string(),
    }
}

impl Panel for JobsPanel {
    fn title(&self) -> String {
        format!("{} jobs", self.state.name())
    }

    fn json(&self) -> String {
        text(self.rows())
    }

    fn actions(&self) -> Vec<PanelAction> {
        let names: &[&str] = match self.state {
            JobState::Dead => &["retry", "remove"],
            state if state.has_ended() => &[],
            _ => &["cancel"],
        };
        names
            .iter()
            .map(|name| PanelAction::per_row(*name))
            .collect()
    }

    fn act(&self, action: &str, row: Option<&str>) -> Result<String, String> {
        let job = row.and_then(|row| row.parse().ok());
        let job = job.ok_or("no job is named")?;
        self.change(action, job).map_err(|error| error.to_string())
    }
}
