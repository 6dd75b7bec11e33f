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
                vec![
                    ("id", json!(queue.queue)),
                    ("ready", json!(queue.ready)),
                    ("running", json!(queue.running)),
                    ("scheduled", json!(queue.scheduled)),
                    ("blocked", json!(queue.blocked)),
                    ("paused", json!(if queue.paused { "yes" } else { "" })),
                ]
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
    fn rows(&self) -> Result<Vec<Row>, JobsError> {
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

/// The columns of the state stand between what a job is and how it has fared.
fn row(job: &JobInfo, now: StoredTime) -> Row {
    let mut row = vec![
        ("id", json!(job.id.0)),
        ("queue", json!(job.queue)),
        ("kind", json!(job.kind)),
        ("priority", json!(job.priority)),
    ];
    let since = |time: Option<StoredTime>| json!(time.map(|time| ago(time, now)));
    row.extend(match job.state {
        JobState::Running => vec![
            ("consumer", json!(job.session.map(|session| session.0))),
            ("since", since(job.began_at)),
        ],
        JobState::Scheduled => vec![("due", json!(in_time(job.due_at, now)))],
        JobState::Blocked => vec![
            ("lane", json!(job.lane)),
            ("waits for", json!(job.waits_for)),
        ],
        JobState::Ready => Vec::new(),
        _ => vec![("ended", since(job.ended_at))],
    });
    row.extend([
        ("failures", json!(job.failures)),
        ("crashes", json!(job.crashes)),
        ("error", json!(job.error)),
    ]);
    row
}

fn ago(time: StoredTime, now: StoredTime) -> String {
    format!("{} s ago", now.since(time).as_secs())
}

fn in_time(time: StoredTime, now: StoredTime) -> String {
    format!("in {} s", time.since(now).as_secs())
}

/// Names and values, in the order in which the page shows them.
type Row = Vec<(&'static str, Value)>;

/// A list of objects. A map of serde_json would sort the names.
fn text(rows: Result<Vec<Row>, JobsError>) -> String {
    let object = |row: &Row| {
        let pairs = row
            .iter()
            .map(|(name, value)| format!("{}:{value}", json!(name)));
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
    };
    match rows {
        Ok(rows) => format!(
            "[{}]",
            rows.iter().map(object).collect::<Vec<_>>().join(",")
        ),
        Err(error) => json!({ "error": error.to_string() }).to_string(),
    }
}

impl ConsumersPanel {
    fn rows(&self) -> Result<Vec<Row>, JobsError> {
        let now = self.0.storage().now()?;
        let sessions = self.0.sessions()?;
        let rows = sessions.iter().map(|session| {
            let info = &session.info;
            vec![
                ("id", json!(session.id.0)),
                ("host", json!(info.host)),
                ("process", json!(info.pid)),
                ("version", json!(info.version)),
                ("since", json!(ago(info.began_at, now))),
                ("queues", json!(info.queues.join(", "))),
                ("kinds", json!(info.kinds.join(", "))),
                ("running", json!(session.running)),
                ("lease ends", json!(in_time(session.lease_until, now))),
            ]
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
