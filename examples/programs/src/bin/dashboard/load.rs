//! The load: tasks of two pools, made up, and decided by a seed. How they fall in with each other
//! depends on the machine.

use millhand::dashboard::{Panel, PanelAction};
use millhand::error::BoxError;
use millhand::pool::{Fallible, Retrying};
use millhand::{CancelToken, Every, Pool, RateLimiter, Retry, Semaphore, TaskBuilder, join_all_ok};
use millhand_programs::random::Random;
use std::error::Error;
use std::f64::consts::TAU;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(50);
/// The load rises and falls once in so many ticks.
const WAVE: u32 = 800;
/// More than the queue of the pool takes.
const BURST: usize = 80;

type Outcome = Result<(), BoxError>;

/// Submits tasks until it is asked to stop.
pub(crate) struct Load {
    web: Web,
    mail: Mail,
    random: Random,
}

/// What the pool `web` runs. A template has the name, the limits and the retries of a kind of
/// task, so that a submission is one line.
struct Web {
    resize: TaskBuilder<Fallible>,
    fetch: TaskBuilder<Retrying<BoxError>>,
    report: TaskBuilder<Fallible>,
    part: TaskBuilder<Fallible>,
    import: TaskBuilder<Fallible>,
    lookup: TaskBuilder<Fallible>,
}

/// What the pool `mail` runs.
struct Mail {
    send: TaskBuilder<Retrying<BoxError>>,
    notice: TaskBuilder<Fallible>,
    reminder: TaskBuilder<Fallible>,
}

impl Load {
    /// Starts the schedules. The rest of the load begins with [`run`](Self::run).
    pub(crate) fn new(web: &Pool, mail: &Pool, seed: u64) -> Result<(Self, Burst), Box<dyn Error>> {
        schedule(web, mail)?;
        let load = Self {
            web: Web::new(web)?,
            mail: Mail::new(mail)?,
            random: Random::new(seed),
        };
        let burst = Burst {
            resize: load.web.resize.clone(),
            asked: AtomicU64::new(0),
        };
        Ok((load, burst))
    }

    pub(crate) fn run(mut self, stop: &CancelToken) {
        for tick in 0u32.. {
            // It is asked to stop by the token alone, since it is no task.
            if stop.wait_timeout(TICK).unwrap_or(true) {
                return;
            }
            let wave = 1.0 + 0.7 * (TAU * f64::from(tick % WAVE) / f64::from(WAVE)).sin();
            self.web.submit(tick, wave, &mut self.random);
            self.mail.submit(wave, &mut self.random);
        }
    }
}

impl Web {
    fn new(pool: &Pool) -> Result<Self, Box<dyn Error>> {
        let second = Duration::from_secs(1);
        let remote = RateLimiter::token_bucket(6, second).burst(2).build()?;
        let database = Semaphore::new(2)?;
        let again = Retry::exponential(3, Duration::from_millis(300));
        let task = |name: &str| pool.task().name(name).fallible();
        Ok(Self {
            resize: task("resize"),
            fetch: pool.task().name("fetch").gate(&remote).retry(again),
            report: task("report"),
            part: task("report part").gate(&database),
            import: task("import").priority(1),
            lookup: task("lookup").attempt_timeout(second),
        })
    }

    fn submit(&self, tick: u32, wave: f64, random: &mut Random) {
        let rate = |per_thousand: f64| (per_thousand * wave) as u64;
        if random.happens(rate(450.0)) {
            resize(&self.resize, random);
        }
        if random.happens(rate(160.0)) {
            self.fetch(random);
        }
        if random.happens(rate(40.0)) {
            self.lookup(random);
        }
        match tick {
            tick if tick % 400 == 5 => self.import(random),
            tick if tick % 300 == 200 => burst(&self.resize, random),
            tick if tick % 80 == 20 => self.report(random),
            _ => {}
        }
    }

    /// Waits for the limiter without a worker, and is tried again with a growing delay.
    fn fetch(&self, random: &mut Random) {
        let mut random = random.fork();
        let host = random.between(1, 9);
        self.fetch.execute_ok(move || {
            work(random.between(50, 250))?;
            match random.happens(if host == 3 { 700 } else { 120 }) {
                true => Err(format!("cdn-{host}.example refused the connection").into()),
                false => Ok(()),
            }
        });
    }

    /// Waits for tasks of its own. Its worker meanwhile runs them, or others.
    fn report(&self, random: &mut Random) {
        let part = self.part.clone();
        let mut random = random.fork();
        self.report.execute_ok(move || -> Outcome {
            let parts: Vec<_> = (0..4)
                .map(|_| {
                    let time = random.between(200, 500);
                    let fails = random.happens(50);
                    part.submit(move || -> Outcome {
                        work(time)?;
                        match fails {
                            true => Err("the table `orders` is locked".into()),
                            false => Ok(()),
                        }
                    })
                })
                .collect();
            join_all_ok(parts)?;
            work(200)
        });
    }

    /// Takes long, says how far it has come, and leaves between two steps when it is cancelled.
    fn import(&self, random: &mut Random) {
        let step = random.between(80, 120);
        self.import.execute_ok(move || -> Outcome {
            let me = millhand::current();
            for done in 0..100 {
                if let Some(me) = &me {
                    me.set_progress(done, 100);
                }
                work(step)?;
            }
            Ok(())
        });
    }

    /// Sometimes the other side does not answer, and the call cannot be interrupted. The task times
    /// out, and its body keeps a thread until it returns.
    fn lookup(&self, random: &mut Random) {
        let hangs = random.happens(100);
        let time = random.between(20, 300);
        self.lookup.execute_ok(move || match hangs {
            true => {
                thread::sleep(Duration::from_millis(2_500));
                Ok(())
            }
            false => work(time),
        });
    }
}

fn resize(template: &TaskBuilder<Fallible>, random: &mut Random) {
    let time = random.between(30, 170);
    let number = random.between(1000, 9999);
    let panics = random.happens(15);
    template.execute_ok(move || -> Outcome {
        work(time)?;
        assert!(!panics, "picture {number} has no pixels");
        Ok(())
    });
}

fn burst(template: &TaskBuilder<Fallible>, random: &mut Random) {
    (0..BURST).for_each(|_| resize(template, random));
}

impl Mail {
    fn new(pool: &Pool) -> Result<Self, Box<dyn Error>> {
        let rate = RateLimiter::token_bucket(5, Duration::from_secs(1)).burst(1);
        let connections = Semaphore::new(2)?;
        let again = Retry::fixed(2, Duration::from_secs(1));
        let task = |name: &str| pool.task().name(name);
        Ok(Self {
            send: task("send mail")
                .gate(&rate.build()?)
                .gate(&connections)
                .retry(again),
            notice: task("notice")
                .priority(-1)
                .expires(Duration::from_millis(400))
                .fallible(),
            reminder: task("reminder").fallible(),
        })
    }

    fn submit(&self, wave: f64, random: &mut Random) {
        let rate = |per_thousand: f64| (per_thousand * wave) as u64;
        if random.happens(rate(120.0)) {
            let mut random = random.fork();
            let to = random.between(100, 999);
            self.send.execute_ok(move || {
                work(random.between(100, 600))?;
                match random.happens(if to % 10 == 7 { 900 } else { 50 }) {
                    true => Err(format!("the mailbox of user{to}@example.com is full").into()),
                    false => Ok(()),
                }
            });
        }
        if random.happens(rate(60.0)) {
            let time = random.between(100, 300);
            self.notice.execute_ok(move || work(time));
        }
        if random.happens(rate(20.0)) {
            let delay = Duration::from_millis(random.between(5_000, 20_000));
            let later = self.reminder.clone().delay(delay);
            later.execute_ok(|| work(100));
        }
    }
}

/// Starts what runs again and again. A pool keeps its schedules: their handles are not needed.
fn schedule(web: &Pool, mail: &Pool) -> Result<(), Box<dyn Error>> {
    let checks = AtomicU64::new(0);
    let check = web.task().name("health check").fallible();
    check
        .every(Duration::from_secs(2))
        .run(move || -> Outcome {
            work(50)?;
            match checks.fetch_add(1, Ordering::Relaxed) % 7 {
                6 => Err("the disk is 91 % full".into()),
                _ => Ok(()),
            }
        })?;
    // Slower than its period: every other run is left out.
    let sweep = web.task().name("sweep cache").fallible();
    sweep.every(Duration::from_secs(1)).run(|| work(1_200))?;
    let digest = mail.task().name("digest").fallible();
    let rule = Every::new(Duration::from_secs(5)).fixed_delay();
    digest.every(rule).run(|| work(400))?;
    Ok(())
}

/// Stands for work of so many milliseconds: it keeps its worker, and asks now and then whether it
/// should go on. `millhand::sleep` would lend the worker to others.
fn work(millis: u64) -> Outcome {
    let end = Instant::now() + Duration::from_millis(millis);
    loop {
        millhand::check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(Duration::from_millis(20)));
    }
}

/// A panel of the page: a button that submits more tasks at once than the queue takes.
pub(crate) struct Burst {
    resize: TaskBuilder<Fallible>,
    asked: AtomicU64,
}

impl Panel for Burst {
    fn title(&self) -> String {
        "load".to_owned()
    }

    fn json(&self) -> String {
        let asked = self.asked.load(Ordering::Relaxed);
        format!(r#"{{"bursts asked for": {asked}, "tasks in each": {BURST}}}"#)
    }

    fn actions(&self) -> Vec<PanelAction> {
        vec![PanelAction::new("burst")]
    }

    fn act(&self, _: &str, _: Option<&str>) -> Result<String, String> {
        let seed = self.asked.fetch_add(1, Ordering::Relaxed);
        burst(&self.resize, &mut Random::new(seed));
        Ok(format!("{BURST} tasks are submitted"))
    }
}
