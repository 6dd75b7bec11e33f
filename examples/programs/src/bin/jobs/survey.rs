//! Which jobs of a store `move` can take.

use millhand::jobs::{Filter, JobId, JobInfo, JobState, Jobs, JobsError};
use std::collections::{BTreeMap, HashSet};

/// In the meta of a job that was moved: the store that it comes from, and its id there.
pub(crate) const FROM: &str = "moved-from";

/// In the meta of a copy that is held: when the job is due, and when it expires.
pub(crate) const HELD: &str = "moved-held";

/// How many jobs stay, by why.
#[derive(Default)]
pub(crate) struct Left(pub(crate) BTreeMap<&'static str, usize>);

impl Left {
    pub(crate) fn add(&mut self, why: &'static str, jobs: usize) {
        if jobs > 0 {
            *self.0.entry(why).or_default() += jobs;
        }
    }
}

/// What can be moved, by its ids.
pub(crate) struct Survey {
    /// Those without a lane.
    pub(crate) singles: Vec<JobId>,
    /// Each of them goes as a whole, or stays: its jobs run one at a time.
    pub(crate) lanes: Vec<(String, Vec<JobId>)>,
    pub(crate) left: Left,
}

#[derive(Default)]
struct Lane {
    ids: Vec<JobId>,
    /// Whether another one of its jobs stays.
    stays: bool,
}

/// Looks at all jobs of a store, since what is meant may depend on what is not. Jobs of the lanes
/// `underway` go also if they have begun: a move has taken those behind them.
pub(crate) fn survey(
    jobs: &Jobs,
    underway: impl Fn(&str) -> bool,
    is_meant: impl Fn(&JobInfo) -> bool,
) -> Result<Survey, JobsError> {
    let mut followed = HashSet::new();
    let mut left = Left::default();
    let mut singles = Vec::new();
    let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
    for job in jobs.list(Filter::default()) {
        let job = job?;
        let parents = match job.state.has_ended() || job.state == JobState::Running {
            true => Vec::new(),
            false => jobs.storage().parents(job.id)?,
        };
        let follows = !parents.is_empty();
        followed.extend(parents.into_iter().map(|(id, _)| id));
        let is_underway = job.lane.as_deref().is_some_and(&underway);
        let why = match job.state {
            JobState::Dead => Some("dead"),
            state if state.has_ended() => continue,
            JobState::Running if !is_underway => Some("running"),
            _ if follows => Some("follows other jobs"),
            _ if job.meta.contains_key(HELD) => Some("held by another move"),
            JobState::Scheduled if job.lane.is_some() && job.claims > 0 && !is_underway => {
                Some("waiting for another attempt, with its lane")
            }
            _ => None,
        };
        let is_meant = is_meant(&job);
        if let (Some(why), true) = (why, is_meant) {
            left.add(why, 1);
        }
        let goes = why.is_none() && is_meant;
        match job.lane {
            Some(_) if job.state.has_ended() => {}
            Some(lane) => {
                let lane = lanes.entry(lane).or_default();
                lane.stays |= !goes;
                if goes {
                    lane.ids.push(job.id);
                }
            }
            None if goes => singles.push(job.id),
            None => {}
        }
    }
    let all = singles.len();
    singles.retain(|id| !followed.contains(id));
    left.add("followed by other jobs", all - singles.len());
    let mut whole = Vec::new();
    for (name, lane) in lanes {
        match lane.stays || lane.ids.iter().any(|id| followed.contains(id)) {
            true => left.add("in a lane of which a job stays", lane.ids.len()),
            false => whole.push((name, lane.ids)),
        }
    }
    Ok(Survey {
        singles,
        lanes: whole,
        left,
    })
}

/// The lanes of jobs that have not ended.
pub(crate) fn live_lanes(jobs: &Jobs) -> Result<HashSet<String>, JobsError> {
    let mut lanes = HashSet::new();
    for job in jobs.list(Filter::default()) {
        let job = job?;
        if !job.state.has_ended() {
            lanes.extend(job.lane);
        }
    }
    Ok(lanes)
}
