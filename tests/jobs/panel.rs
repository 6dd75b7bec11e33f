//! Jobs on the page of a dashboard.

use millhand::dashboard::Panel;
use millhand::jobs::{Job, JobContext, JobState, Jobs, Memory};
use millhand::{Retry, Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Serialize, Deserialize)]
struct Fail;

impl Job for Fail {
    const NAME: &'static str = "fail";
    type Output = ();
}

fn rows(panel: &impl Panel) -> Value {
    serde_json::from_str(&panel.json()).unwrap()
}

#[test]
fn queues_and_dead_jobs_are_shown_and_changed() {
    let jobs = Jobs::open(Memory::new()).unwrap();
    let job = jobs.enqueue(&Fail).unwrap();
    let (ready, dead) = (jobs.panel(JobState::Ready), jobs.panel(JobState::Dead));
    assert_eq!(
        (ready.title(), jobs.title()),
        ("ready jobs".into(), "queues in Memory".into())
    );
    assert_eq!(rows(&jobs)[0]["ready"], 1);
    assert_eq!(rows(&ready)[0]["kind"], "fail");
    assert_eq!(
        jobs.act("pause", Some("default")).unwrap(),
        "default: pause"
    );
    assert_eq!(rows(&jobs)[0]["paused"], "yes");
    jobs.act("resume", Some("default")).unwrap();
    assert!(jobs.act("pause", None).is_err());

    let pool = ThreadPool::new(1).unwrap();
    let handler = millhand::jobs::Handler::new(|_: Fail, _: &JobContext| Err::<(), _>("no"));
    let handler = handler.retry(Retry::fixed(0, Duration::ZERO));
    jobs.consumer(&pool)
        .queue("default", 1)
        .handler(handler)
        .start()
        .unwrap();
    assert!(job.handle().join().is_err());
    pool.shutdown(Shutdown::drain()).unwrap();
    let row = rows(&dead);
    assert_eq!((&row[0]["id"], &row[0]["error"]), (&json!(1), &json!("no")));
    assert_eq!(dead.act("retry", Some("1")).unwrap(), "1: retry");
    assert_eq!(dead.act("remove", Some("1")).unwrap(), "1: nothing changed");
    assert!(dead.act("retry", Some("one")).is_err());
    assert_eq!(ready.act("cancel", Some("1")).unwrap(), "1: Settled");
    assert_eq!(rows(&ready), json!([]));
    assert_eq!(dead.actions().len(), 2);
    assert!(jobs.panel(JobState::Done).actions().is_empty());
}

#[test]
fn consumers_and_what_they_run_are_shown() {
    let (pool, simulation) = ThreadPool::simulated(1);
    let memory = Memory::options().clock(simulation.clock()).build();
    let jobs = Jobs::open(memory).unwrap();
    let consumer = jobs.consumer(&pool).queue("default", 1).queue("mail", 1);
    let sleep = |_: Fail, _: &JobContext| millhand::sleep(MINUTE);
    consumer.handle(sleep).start().unwrap();
    let lane = jobs.job().lane("one at a time");
    let first = lane.enqueue(&Fail).unwrap();
    let second = lane.enqueue(&Fail).unwrap();
    let third = jobs.job().after([&first, &second]).delay(2 * MINUTE);
    drop(third.enqueue(&Fail).unwrap());
    drop(jobs.job().delay(MINUTE).enqueue(&Fail).unwrap());
    simulation.advance(MINUTE / 2);

    let consumers = rows(&jobs.consumers_panel());
    assert_eq!(consumers.as_array().unwrap().len(), 1);
    let row = &consumers[0];
    assert_eq!(row["process"], std::process::id());
    assert_eq!(row["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&row["queues"], &row["running"]),
        (&json!("default, mail"), &json!(1))
    );
    assert_eq!(
        (&row["kinds"], &row["since"]),
        (&json!("fail"), &json!("30 s ago"))
    );
    let running = rows(&jobs.panel(JobState::Running));
    assert_eq!(
        (&running[0]["id"], &running[0]["consumer"]),
        (&json!(1), &row["id"])
    );
    assert_eq!(running[0]["since"], "30 s ago");
    let blocked = rows(&jobs.panel(JobState::Blocked));
    assert_eq!(blocked[0]["lane"], "one at a time");
    assert_eq!(
        (&blocked[1]["lane"], &blocked[1]["waits for"]),
        (&Value::Null, &json!(2))
    );
    assert_eq!(rows(&jobs.panel(JobState::Scheduled))[0]["due"], "in 30 s");
    assert_eq!(rows(&jobs)[0]["blocked"], 2);
    pool.shutdown(Shutdown::drain()).unwrap();
}
