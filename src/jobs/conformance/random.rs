//! Random operations, on a storage and on the model: case 92.
//!
//! Layer: jobs.
//
// The docs of the trait leave some things open. The operations keep away from them:
// - Whether something holds at the very time at which it ends. All times are multiples of 10 ms,
//   and all leases, keys and outcomes end 5 ms after one.
// - When it is found that a job has expired, or that an outcome is over. So time moves on in one
//   operation with a full sweep, and at most one exchange comes before that sweep. There is a sweep
//   also after a job that has expired came back.
// - Whether a job at most once may be retried: it is not.
// - How long an outcome is kept that is watched and kept: it is one of both. A job is watched before
//   it ends, and not when it is dead and may begin anew.
// - Whether a job whose key is free before its end gets it again when it is no longer dead: only
//   jobs with keys until their ends are retried or purged by hand.

use crate::jobs::conformance::draw::Draw;
use crate::jobs::conformance::env::Env;
use crate::jobs::conformance::model::Model;
use crate::jobs::{
    Claimed, Counts, Fate, Filter, JobId, JobInfo, JobState, JobsError, NewJob, Outcome, Page,
    SessionId, Storage, Watching,
};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::time::Duration;

const STEPS: usize = 300;
const ANSWERS: usize = 30;
pub(crate) const QUEUES: [&str; 3] = ["a", "b", "c"];
pub(crate) const KINDS: [&str; 3] = ["x", "y", "z"];

pub(crate) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A storage and the model, and what a consumer would know.
pub(crate) struct Run<'a> {
    pub(crate) env: &'a Env,
    pub(crate) model: Model,
    pub(crate) draw: Draw,
    seed: u64,
    step: usize,
    /// The last ones, to look for the cause of a difference.
    answers: RefCell<VecDeque<String>>,
    /// All ids that were ever given.
    pub(crate) ids: Vec<JobId>,
    pub(crate) options: BTreeMap<JobId, NewJob>,
    pub(crate) watched: Vec<(JobId, [Watching; 2])>,
    /// Sessions that were opened, with the numbers of their last exchanges.
    pub(crate) sessions: Vec<(SessionId, u64)>,
    /// What was claimed and not ended, and a few that have ended.
    pub(crate) claimed: Vec<(SessionId, Claimed)>,
    pub(crate) first_producer: u64,
    pub(crate) last_batch: BTreeMap<u64, (u64, Vec<NewJob>)>,
}

pub fn random_operations_have_the_same_answers_as_the_model(env: &Env) {
    for seed in 0..env.seeds {
        let env = env.another();
        let mut run = Run {
            env: &env,
            model: Model::new(env.case()),
            draw: Draw(seed),
            seed,
            step: 0,
            answers: RefCell::default(),
            ids: Vec::new(),
            options: BTreeMap::new(),
            watched: Vec::new(),
            sessions: Vec::new(),
            claimed: Vec::new(),
            first_producer: 0,
            last_batch: BTreeMap::new(),
        };
        while run.step < STEPS {
            run.step();
            run.compare();
            run.step += 1;
        }
        drop(run);
        env.finish();
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it was in step {} of seed {}, after:", self.step, self.seed);
            let answers = self.answers.borrow();
            answers.iter().for_each(|answer| eprintln!("{answer}"));
        }
    }
}

#[track_caller]
fn assert_same<T: PartialEq + Debug>(what: &dyn Debug, found: &T, expected: &T) {
    assert!(
        found == expected,
        "{what:?}:\nthe storage: {found:?}\nthe model:   {expected:?}"
    );
}

impl Run<'_> {
    /// What an operation answered is the same.
    #[track_caller]
    pub(crate) fn same<T: PartialEq + Debug>(&self, what: &dyn Debug, found: &T, expected: &T) {
        assert_same(what, found, expected);
        let mut answers = self.answers.borrow_mut();
        answers.push_back(format!("{what:?}: {found:?}"));
        if answers.len() > ANSWERS {
            answers.pop_front();
        }
    }

    /// Has both do something. Errors are the same if their kinds are.
    #[track_caller]
    pub(crate) fn both<T: PartialEq + Debug>(
        &self,
        what: &dyn Debug,
        act: impl Fn(&dyn Storage) -> Result<T, JobsError>,
    ) {
        let kind = |error: JobsError| error.kind();
        let found = act(self.env.storage()).map_err(kind);
        self.same(what, &found, &act(&self.model).map_err(kind));
    }

    /// Looks at both.
    fn look<T: PartialEq + Debug>(&self, look: impl Fn(&dyn Storage) -> Result<T, JobsError>) {
        let expected = look(&self.model).unwrap();
        assert_same(&"a look", &look(self.env.storage()).unwrap(), &expected);
    }

    fn step(&mut self) {
        match self.draw.below(20) {
            0..4 => self.enqueue(),
            4 => self.open_session(),
            5..11 => self.exchange(true),
            11..13 => self.heartbeat(),
            13 => self.close_session(),
            14 => self.cancel(),
            15 => self.by_hand(),
            16 => self.set_queue(),
            17 => self.schedule(),
            _ => self.advance(),
        }
        if self.model.has_expired() {
            self.sweep();
        }
    }

    /// Everything that can be seen is the same.
    fn compare(&mut self) {
        let filter = Filter {
            payloads: true,
            ..Filter::default()
        };
        let most = 1 + self.draw.below(200);
        let found = self.env.pages(&filter, most).into_iter().map(visible);
        let all = Page {
            after: JobId(0),
            most: usize::MAX,
        };
        let expected = self.model.list(&filter, all).unwrap();
        let expected: Vec<JobInfo> = expected.into_iter().map(visible).collect();
        for (found, expected) in found.clone().zip(&expected) {
            assert_same(&"a list", &found, expected);
        }
        assert_same(&"the length of a list", &found.count(), &expected.len());
        self.look(|storage| storage.counts().map(with_jobs));
        self.look(|storage| storage.sessions());
        self.look(|storage| storage.schedules());
        let id = self.some_id();
        self.look(|storage| {
            Ok(match storage.outcome(id)? {
                Fate::Ended(Outcome::Dead(text)) if known(Some(text.clone())).is_none() => {
                    Fate::Ended(Outcome::Dead(String::new()))
                }
                fate => fate,
            })
        });
    }
}

/// The text of a failure, and not that of a crash.
pub(crate) fn known(error: Option<String>) -> Option<String> {
    error.filter(|error| error == "no")
}

/// What the docs promise of a job: payload and strings of one that is done may be gone.
fn visible(mut info: JobInfo) -> JobInfo {
    info.error = known(info.error);
    if info.state.has_ended() && info.state != JobState::Dead {
        info.payload.clear();
        info.meta.clear();
    }
    info
}

/// Without the queues that have no job. Whether one of them has a setting is asked elsewhere.
fn with_jobs(mut counts: Counts) -> Counts {
    counts
        .queues
        .retain(|it| it.scheduled + it.ready + it.running > 0);
    counts
}
