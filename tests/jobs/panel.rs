//! Jobs on the page of a dashboard.

use millhand::dashboard::Panel;
use millhand::jobs::{Job, JobContext, JobState, Jobs, Memory};
use millhand::{Retry, Shutdown, ThreadPool};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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
    let handler = handler.retry(Retry::fixed(0, std::time::Duration::ZERO));
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
