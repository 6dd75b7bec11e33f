//! A browser, by the WebDriver protocol: https://www.w3.org/TR/webdriver2/

use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must come: it turns a hang into a failure.
const LONG: Duration = Duration::from_secs(60);

/// The key that sends what was typed.
pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";

pub struct Browser {
    driver: Child,
    agent: ureq::Agent,
    /// The address of the session.
    session: String,
}

/// Starts a driver at a port that it chooses, and returns the port. A driver that finds its port
/// taken meanwhile, by one of the other tests, ends at once: another one is tried.
fn start() -> (Child, u16) {
    const TRIES: usize = 10;
    let mut said = Vec::new();
    for _ in 0..TRIES {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is needed, of the package chromium-driver");
        let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        for line in lines.map(Result::unwrap) {
            if let Some((_, port)) = line.split_once("successfully on port ") {
                return (driver, port.trim_end_matches('.').parse().unwrap());
            }
            said.push(line);
        }
        said.push(driver.wait().unwrap().to_string());
    }
    panic!("no driver of {TRIES} has started:\n{}", said.join("\n"));
}

impl Browser {
    pub fn open() -> Self {
        let (driver, port) = start();
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(LONG))
            .build()
            .into();
        let mut browser = Self {
            driver,
            agent,
            session: format!("http://127.0.0.1:{}/session", port),
        };
        // As root it needs --no-sandbox; in a container /dev/shm is small.
        let args = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--window-size=1280,1000",
        ];
        let session = browser.post(
            "",
            json!({ "capabilities": { "alwaysMatch": {
                "browserName": "chrome",
                "goog:chromeOptions": { "args": args },
                "goog:loggingPrefs": { "browser": "ALL" },
            } } }),
        );
        browser.session += &format!("/{}", session["sessionId"].as_str().unwrap());
        browser
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let mut reply = self
            .agent
            .post(format!("{}{path}", self.session))
            .send_json(&body)
            .unwrap();
        let value: Value = reply.body_mut().read_json().unwrap();
        let value = &value["value"];
        assert!(value["error"].is_null(), "{path} {body}: {value:#}");
        value.clone()
    }

    pub fn go(&self, address: &str) {
        self.post("/url", json!({ "url": address }));
    }

    /// Runs a script in the page, and returns what it returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", json!({ "script": script, "args": [] }))
    }

    /// Waits until the script returns true.
    pub fn wait_for(&self, script: &str) {
        let end = Instant::now() + LONG;
        while self.run(script) != true {
            assert!(
                Instant::now() < end,
                "it must come: {script}\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The text that is seen.
    pub fn text(&self) -> String {
        self.run("return document.body.innerText")
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn element(&self, selector: &str) -> String {
        let found = self.post(
            "/element",
            json!({ "using": "css selector", "value": selector }),
        );
        found
            .as_object()
            .unwrap()
            .values()
            .next()
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Clicks as a user does: the element must be seen, and nothing may cover it.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), json!({}));
    }

    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(
            &format!("/element/{element}/value"),
            json!({ "text": text }),
        );
    }

    /// Presses keys, wherever the focus is.
    pub fn press(&self, keys: &str) {
        let strokes = keys.chars().flat_map(|key| {
            [
                json!({ "type": "keyDown", "value": key }),
                json!({ "type": "keyUp", "value": key }),
            ]
        });
        let strokes: Vec<_> = strokes.collect();
        self.post(
            "/actions",
            json!({ "actions": [{ "type": "key", "id": "keys", "actions": strokes }] }),
        );
    }

    /// A command of the browser's own protocol.
    pub fn command(&self, name: &str, parameters: Value) -> Value {
        self.post(
            "/goog/cdp/execute",
            json!({ "cmd": name, "params": parameters }),
        )
    }

    /// The messages in the console.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", json!({ "type": "browser" }));
        entries
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.agent.delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// What a text in base64 stands for.
pub fn decoded(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text
        .bytes()
        .filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in digits {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
