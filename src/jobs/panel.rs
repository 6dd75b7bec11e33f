//! Jobs on the page of a dashboard.
//!
//! Layer: jobs.

use crate::dashboard::{Panel, PanelAction};
use crate::jobs::error::JobsError;
use crate::jobs::face::Jobs;
use crate::jobs::id::JobId;
use crate::jobs::look::{Filter, JobInfo, JobState, Page, QueueChange};
use crate::jobs::time::StoredTime;
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
///     .panel(jobs.consumers_panel()) // who runs, on all machines
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
                    "blocked": queue.blocked,
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

/// The consumers of all processes that use the storage, for the page of a dashboard. From
/// [`Jobs::consumers_panel`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Debug)]
pub struct ConsumersPanel(Jobs);

/// The jobs in one state, for the page of a dashboard. From [`Jobs::panel`].
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Debug)]
pub struct JobsPanel {
    jobs: Jobs,
    state: JobState,
}

impl Jobs {
    /// Makes a panel with the consumers of all processes: where each runs, since when, what it
    /// claims, and how many jobs it runs. One whose process was killed is there until its lease
    /// has ended.
    pub fn consumers_panel(&self) -> ConsumersPanel {
        ConsumersPanel(self.clone())
    }

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
        let storage = self.jobs.storage();
        let (jobs, now) = (storage.list(&filter, page)?, storage.now()?);
        Ok(jobs.iter().map(|job| row(job, now)).collect())
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

fn row(job: &JobInfo, now: StoredTime) -> Value {
    let mut row = json!({
        "id": job.id.0,
        "queue": job.queue,
        "kind": job.kind,
        "priority": job.priority,
        "failures": job.failures,
        "crashes": job.crashes,
        "error": job.error,
    });
    // What is of use in the state alone.
    let more = match job.state {
        JobState::Running => vec![
            ("consumer", job.session.map(|session| session.0).into()),
            ("since", job.began_at.map(|began| ago(began, now)).into()),
        ],
        JobState::Scheduled => vec![("due", in_time(job.due_at, now).into())],
        JobState::Blocked => vec![
            ("lane", job.lane.clone().into()),
            ("waits for", job.waits_for.into()),
        ],
        JobState::Ready => Vec::new(),
        _ => vec![("ended", job.ended_at.map(|ended| ago(ended, now)).into())],
    };
    for (name, value) in more {
        row[name] = value;
    }
    row
}

fn ago(time: StoredTime, now: StoredTime) -> String {
    format!("{} s ago", now.since(time).as_secs())
}

fn in_time(time: StoredTime, now: StoredTime) -> String {
    format!("in {} s", time.since(now).as_secs())
}

fn text(rows: Result<Vec<Value>, JobsError>) -> String {
    match rows {
        Ok(rows) => Value::from(rows).to_string(),
        Err(error) => json!({ "error": error.to_string() }).to_string(),
    }
}

impl ConsumersPanel {
    fn rows(&self) -> Result<Vec<Value>, JobsError> {
        let now = self.0.storage().now()?;
        let sessions = self.0.sessions()?;
        let rows = sessions.iter().map(|session| {
            let info = &session.info;
            json!({
                "id": session.id.0,
                "host": info.host,
                "process": info.pid,
                "version": info.version,
                "since": ago(info.began_at, now),
                "queues": info.queues.join(", "),
                "kinds": info.kinds.join(", "),
                "running": session.running,
                "lease ends": in_time(session.lease_until, now),
            })
        });
        Ok(rows.collect())
    }
}

impl Panel for ConsumersPanel {
    fn title(&self) -> String {
        format!("consumers of {}", self.0.facts().name)
    }

    fn json(&self) -> String {
        text(self.rows())
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
