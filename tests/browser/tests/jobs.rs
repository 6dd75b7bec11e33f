//! Durable jobs on the page of the dashboard: who runs what, and dead jobs that are tried again.

// Not all of it is used here.
#[allow(dead_code)]
mod webdriver;

use millhand::dashboard::Dashboard;
use millhand::jobs::{Handler, Job, JobContext, JobState, Jobs, Memory};
use millhand::{CancelToken, Retry, ThreadPool};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use webdriver::{Browser, ENTER};

const TOKEN: &str = "a-secret-of-the-tests";

#[derive(Serialize, Deserialize)]
struct Letter {
    to: String,
}

impl Job for Letter {
    const NAME: &'static str = "letter";
    const QUEUE: &'static str = "mail";
    type Output = ();
}

fn letter(to: &str) -> Letter {
    Letter { to: to.into() }
}

/// Whether the panel with this title has a row with all these texts.
fn has_row(title: &str, texts: &[&str]) -> String {
    let texts = serde_json::to_string(texts).unwrap();
    format!(
        "return [...document.querySelectorAll('#panels section')].some((panel) => \
         panel.querySelector('h2, h3').textContent.includes('{title}') && \
         [...panel.querySelectorAll('tbody tr')].some((row) => row.checkVisibility() && \
         {texts}.every((text) => row.textContent.includes(text))))"
    )
}

fn has_no_row(title: &str, texts: &[&str]) -> String {
    has_row(title, texts).replace("return ", "return !")
}

#[test]
fn consumers_queues_and_dead_jobs_are_shown_and_a_dead_job_is_tried_again() {
    let jobs = Jobs::open(Memory::new()).unwrap();
    let is_mended = Arc::new(AtomicBool::new(false));
    let stop = CancelToken::new();
    // As if they were on two machines.
    let pools = [(); 2].map(|()| ThreadPool::new(2).unwrap());
    for pool in &pools {
        let (mended, stop) = (is_mended.clone(), stop.clone());
        let handler = Handler::new(move |job: Letter, _: &JobContext| {
            match &*job.to {
                "nowhere" if !mended.load(SeqCst) => return Err("<b>no such street</b>"),
                "far away" => drop(stop.wait()),
                _ => {}
            }
            Ok(())
        });
        let handler = handler.retry(Retry::fixed(0, Duration::ZERO));
        let consumer = jobs.consumer(pool).queue("mail", 2).queue("default", 1);
        consumer.handler(handler).start().unwrap();
    }
    let dead = jobs.enqueue(&letter("nowhere")).unwrap();
    drop(
        jobs.job()
            .lane("one")
            .enqueue_all(["far away", "near"].map(letter)),
    );
    drop(
        jobs.job()
            .delay(Duration::from_secs(3600))
            .enqueue(&letter("later")),
    );

    let page = Dashboard::builder()
        .pool(&pools[0])
        .panel(jobs.clone())
        .panel(jobs.consumers_panel())
        .panel(jobs.panel(JobState::Running))
        .panel(jobs.panel(JobState::Blocked))
        .panel(jobs.panel(JobState::Scheduled))
        .panel(jobs.panel(JobState::Dead))
        .allow_control(TOKEN)
        .serve("127.0.0.1:0")
        .unwrap();
    let browser = Browser::open();
    browser.go(&format!("http://{}/", page.local_addr()));
    browser.wait_for(&has_row("queues in Memory", &["mail"]));
    browser.wait_for(&has_row("dead jobs", &["letter", "<b>no such street</b>"]));
    browser.wait_for(&has_row("running jobs", &["letter", "s ago"]));
    browser.wait_for(&has_row("blocked jobs", &["letter", "one"]));
    browser.wait_for(&has_row("scheduled jobs", &["letter", "in 35"]));
    let process = std::process::id().to_string();
    browser.wait_for(&has_row(
        "consumers of Memory",
        &[&process, "mail, default", "1"],
    ));

    browser.type_into("#token", &format!("{TOKEN}{ENTER}"));
    let retry = format!("[aria-label='retry {}']", dead.id());
    browser.wait_for(&format!(
        "return document.querySelector(\"{retry}\") !== null"
    ));
    browser.click("[aria-label='pause mail']");
    browser.wait_for(&has_row("queues in Memory", &["mail", "yes"]));
    browser.click(&retry);
    browser.wait_for(&has_no_row("dead jobs", &["letter"]));
    assert_eq!(dead.handle().state().unwrap(), Some(JobState::Ready));
    is_mended.store(true, SeqCst);
    browser.click("[aria-label='resume mail']");
    browser.wait_for(&has_no_row("queues in Memory", &["mail", "yes"]));
    browser.wait_for("return document.querySelectorAll('#panels section').length === 6");
    // On a telephone the tables are as wide as the page.
    let phone =
        serde_json::json!({ "width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": true });
    browser.command("Emulation.setDeviceMetricsOverride", phone);
    browser.wait_for("return innerWidth === 390 && document.documentElement.scrollWidth === 390");
    stop.cancel();
    browser.wait_for(&has_no_row("running jobs", &["letter"]));
    assert_eq!(browser.console(), [""; 0]);
    drop(pools);
}
