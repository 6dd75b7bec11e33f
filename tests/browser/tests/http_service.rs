//! The page of the example `http_service` in a browser: its numbers follow the service, its form
//! posts a task, and its WebSocket brings the news of that.

// Not all of it is used here.
#[allow(dead_code)]
mod webdriver;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use webdriver::Browser;

/// The service as a child process, which ends with the test.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Builds and starts it. Returns its address, too.
fn start() -> (Service, String) {
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/programs");
    let mut run = Command::new(env!("CARGO"));
    run.args(["run", "--locked", "--bin", "http_service", "--"])
        .args(["--listen", "127.0.0.1:0"])
        .current_dir(package)
        .stdout(Stdio::piped());
    let mut service = Service(run.spawn().unwrap());
    let mut line = String::new();
    let mut output = BufReader::new(service.0.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ");
    let address = address.unwrap_or_else(|| panic!("{line:?}"));
    (service, address.to_owned())
}

/// Whether a number of the page is this.
fn shows(name: &str, n: u64) -> String {
    format!(
        "return [...document.querySelectorAll('#numbers div')]
            .some((row) => row.textContent === '{name}{n}')"
    )
}

#[test]
fn the_page_shows_numbers_posts_a_task_and_gets_its_news() {
    let (_service, address) = start();
    let browser = Browser::open();
    browser.go(&address);
    browser.wait_for(&shows("succeeded", 0));
    browser.wait_for(&shows("WebSockets", 1));
    browser.click("#form button");
    browser.wait_for("return document.getElementById('reply').textContent.startsWith('202 {')");
    browser.wait_for(&shows("succeeded", 1));
    browser.wait_for("return document.getElementById('news').textContent.includes('succeeded')");
    assert_eq!(browser.console(), [""; 0]);
}
