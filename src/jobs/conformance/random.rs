//! Random operations, on a storage and on the model: case 92.
//!
//! Layer: jobs.
//
// The docs of the trait leave some things open. The operations keep away from them:
// - Whether something holds at the very time at which it ends. All times are multiples of 10 ms,
//   and all leases, keys and outcomes end 5 ms after one.
// - When it is found that a job has expired, or that an outcome is over. So time moves on in one
//   operation with a full sweep. At most one operation comes before that sweep: an exchange with
//   ends of jobs that run, or another one that may end a job that has a lane. It is no exchange if
//   others wait for the end of a job that has expired and may be found by that. There is a sweep
//   also after a job that has expired came back.
// - Whether a job at most once may be retried: it is not.
// - How long an outcome is kept that is watched and kept: it is one of both. A job is watched
//   while it lives, and not when it is dead and may begin anew.
// - Whether a job whose key is free before its end gets it again when it is no longer dead: only
//   jobs with keys until their ends are retried or purged by hand.

use crate::jobs::conformance::draw::Draw;
use crate::jobs::conformance::env::Env;
use crate::jobs::conformance::model::Model;
use crate::jobs::{
    Claimed, Counts, Due, Fate, Filter, JobId, JobInfo, JobState, JobsError, NewJob, Outcome, Page,
    SessionId, Storage, StoredTime, Swept, Unique, UniqueUntil, Watching,
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
pub(crate) struct Run {
    pub(crate) env: Env,
    pub(crate) model: Model,
    pub(crate) draw: Draw,
    seed: u64,
    step: usize,
    /// Whether the storage is closed and opened again. Then all jobs have one priority, since a
    /// storage may begin to count its claims anew; and none is watched, since a watch ends then.
    pub(crate) reopens: bool,
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
        Run::new(env.another(), seed, false).run();
    }
}

/// As above, with a storage that is closed and opened now and then.
pub(crate) fn run_and_reopen(env: &Env) {
    for seed in 0..env.seeds {
        Run::new(env.another(), seed, true).run();
    }
}

impl Drop for Run {
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

impl Run {
    fn new(env: Env, seed: u64, reopens: bool) -> Self {
        Self {
            model: Model::new(env.case()),
            env,
            draw: Draw(seed),
            seed,
            step: 0,
            reopens,
            answers: RefCell::default(),
            ids: Vec::new(),
            options: BTreeMap::new(),
            watched: Vec::new(),
            sessions: Vec::new(),
            claimed: Vec::new(),
            first_producer: 0,
            last_batch: BTreeMap::new(),
        }
    }

    fn run(mut self) {
        while self.step < STEPS {
            if self.reopens && self.draw.one_in(20) {
                self.env.reopen();
            }
            self.step();
            self.compare();
            self.step += 1;
        }
        self.env.finish();
    }

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
            5..11 => self.exchange(false),
            11..13 => self.heartbeat(),
            13 => self.close_session(),
            14 => self.cancel(),
            15 => self.by_hand(),
            16 => self.set_queue(),
            17 => self.schedule(),
            _ => self.advance(),
        }
        if self.model.has_expired(|_, _| true) {
            self.sweep();
        }
    }

    pub(crate) fn new_job(&mut self) -> NewJob {
        let draw = &mut self.draw;
        let mut new = NewJob::new(*draw.pick(&QUEUES), *draw.pick(&KINDS), "");
        new.payload = vec![b'0'; draw.below(100)];
        if !self.reopens {
            new.priority = *draw.pick(&[0, 0, 0, 1, -1, i32::MAX]);
        }
        let later = self.env.now() + ms(5_000);
        new.due = *draw.pick(&[
            Due::Now,
            Due::Now,
            Due::After(ms(10_000)),
            Due::After(ms(60_000)),
            Due::At(later),
            Due::At(StoredTime(0)),
        ]);
        new.expires = *draw.pick(&[None, None, None, Some(ms(9_005)), Some(ms(100_005))]);
        new.keep = *draw.pick(&[None, None, Some(ms(5_005)), Some(ms(4_000_005))]);
        new.max_crashes = *draw.pick(&[3, 3, 1, 0]);
        new.at_most_once = draw.one_in(10);
        if draw.one_in(3) {
            let key = (*draw.pick(&["k", "l", "m"])).to_owned();
            let time = UniqueUntil::Elapsed(ms(60_005));
            let until = *draw.pick(&[UniqueUntil::Ended, UniqueUntil::Started, time]);
            new.unique = Some(Unique { key, until });
            new.replace = draw.one_in(2);
        }
        if draw.one_in(3) {
            new.lane = Some((*draw.pick(&["k", "l", "m"])).to_owned());
        }
        if draw.one_in(4) {
            new.meta = [("key".into(), "value".into())].into();
        }
        new
    }

    /// As above, and now and then it follows others: live ones, ended ones, and forgotten ones.
    pub(crate) fn new_job_after_others(&mut self) -> NewJob {
        let mut new = self.new_job();
        if self.draw.one_in(3) && !self.ids.is_empty() {
            for _ in 0..=self.draw.below(3) {
                let last = match self.draw.one_in(5) {
                    true => self.ids.len(),
                    false => self.ids.len().min(8),
                };
                let id = *self.draw.pick(&self.ids[self.ids.len() - last..]);
                new.after.push(id);
            }
            if self.draw.one_in(40) {
                new.after.push(JobId(999_999));
            }
        }
        new.even_if_failed = self.draw.one_in(3);
        new
    }

    /// Sweeps both, in slices. When something is forgotten is up to the storage.
    pub(crate) fn sweep(&self) -> (Swept, Swept) {
        let sweep = |storage: &dyn Storage| {
            let mut sum = Swept::default();
            loop {
                let swept = storage.sweep(3).unwrap();
                sum.sessions += swept.sessions;
                sum.returned += swept.returned;
                sum.died += swept.died;
                sum.expired += swept.expired;
                if !swept.more {
                    return sum;
                }
            }
        };
        (sweep(self.env.storage()), sweep(&self.model))
    }

    /// The jobs of a state are the same, or all that are listed.
    fn compare_jobs(&mut self, state: Option<JobState>) {
        let filter = Filter {
            state,
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
    }

    /// The jobs that have not ended are the same.
    pub(crate) fn compare_live(&mut self) {
        let live = JobState::ALL.into_iter().filter(|state| !state.has_ended());
        live.for_each(|state| self.compare_jobs(Some(state)));
    }

    /// Everything that can be seen is the same.
    fn compare(&mut self) {
        self.compare_jobs(None);
        self.look(|storage| storage.counts().map(with_jobs));
        self.look(|storage| storage.sessions());
        self.look(|storage| storage.schedules());
        for _ in 0..3 {
            let id = self.some_id();
            self.look(|storage| storage.outcome(id).map(plain));
            self.look(|storage| {
                let parents = storage.parents(id)?.into_iter();
                Ok(parents
                    .map(|(id, fate)| (id, plain(fate)))
                    .collect::<Vec<_>>())
            });
        }
    }
}

/// Without the text of a crash.
fn plain(fate: Fate) -> Fate {
    match fate {
        Fate::Ended(Outcome::Dead(text)) => {
            let text = known(Some(text)).unwrap_or_default();
            Fate::Ended(Outcome::Dead(text))
        }
        fate => fate,
    }
}

/// The text of a failure, and not that of a crash.
pub(crate) fn known(error: Option<String>) -> Option<String> {
    error.filter(|error| error == "no")
}

/// What the docs promise of a job: payload, strings and options of one that is done may be gone.
fn visible(mut info: JobInfo) -> JobInfo {
    info.error = known(info.error);
    if info.state.has_ended() && info.state != JobState::Dead {
        info.payload.clear();
        info.meta.clear();
        (info.lane, info.unique_key, info.keep) = (None, None, None);
        (info.max_crashes, info.at_most_once) = (0, false);
    }
    info
}

/// Without the queues that have no job. Whether one of them has a setting is asked elsewhere.
fn with_jobs(mut counts: Counts) -> Counts {
    counts
        .queues
        .retain(|it| it.scheduled + it.blocked + it.ready + it.running > 0);
    counts
}
