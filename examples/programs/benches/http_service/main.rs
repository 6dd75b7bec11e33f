//! The program `http_service` beside the same service written by hand on `threadpool` and
//! `oneshot`: requests per second, and how long a request takes.
//!
//!     cargo bench --manifest-path examples/programs/Cargo.toml --bench http_service
//!
//! Three processes: each service is one, and `http_load` is the other, which sends requests on
//! connections that stay open. The services take turns, and the medians of all rounds are printed,
//! with their ratio. `-- --quick` runs a tenth. No time is asserted.

mod by_hand;

use serde_json::Value;
use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const CONNECTIONS: &str = "16";
const BODY: &str = r#"{"text": "the quick brown fox jumps over the lazy dog"}"#;

/// A service that runs. Its drop kills it.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(command: &mut Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the output is a pipe")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim_end().strip_prefix("listening on ");
        let address = address.ok_or("the service does not say its address")?;
        let address = address.to_owned();
        Ok(Self { child, address })
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What one round has measured.
#[derive(Clone, Copy)]
struct Round {
    per_second: f64,
    p50: f64,
    p99: f64,
}

fn load(
    service: &Service,
    path: &str,
    body: Option<&str>,
    requests: usize,
) -> Result<Round, Box<dyn Error>> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_http_load"));
    command.arg(format!("{}{path}", service.address));
    command.args([
        "--connections",
        CONNECTIONS,
        "--requests",
        &requests.to_string(),
    ]);
    if let Some(body) = body {
        command.args(["--post", body]);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    let result: Value = serde_json::from_slice(&output.stdout)?;
    if !output.status.success() {
        return Err(format!("requests have failed: {result}").into());
    }
    let number = |name: &str| result[name].as_f64().unwrap_or(f64::NAN);
    Ok(Round {
        per_second: number("per_second"),
        p50: number("p50_ms"),
        p99: number("p99_ms"),
    })
}

fn median(rounds: &[Round], of: impl Fn(&Round) -> f64) -> f64 {
    let mut values: Vec<_> = rounds.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().collect();
    let has = |word: &str| arguments.iter().any(|argument| argument == word);
    if has("--by-hand") {
        return Ok(by_hand::serve()?);
    }
    let (rounds, requests) = if has("--quick") {
        (3, 1_000)
    } else {
        (15, 10_000)
    };
    let mut ours = Command::new(env!("CARGO_BIN_EXE_http_service"));
    ours.args(["--listen", "127.0.0.1:0"])
        .env("RUST_LOG", "warn");
    let ours = Service::start(&mut ours)?;
    let other = Service::start(Command::new(env::current_exe()?).arg("--by-hand"))?;
    println!("{CONNECTIONS} connections, {rounds} rounds of {requests} requests");
    for (what, path, body) in [
        ("GET /api/status", "/api/status", None),
        ("POST /api/data?wait=10s", "/api/data?wait=10s", Some(BODY)),
    ] {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            first.push(load(&ours, path, body, requests)?);
            second.push(load(&other, path, body, requests)?);
        }
        println!(
            "\n{what:<28}{:>12}{:>12}{:>12}",
            "requests/s", "p50, ms", "p99, ms"
        );
        let print = |name: &str, rounds: &[Round]| {
            let [rate, p50, p99] = [
                median(rounds, |round| round.per_second),
                median(rounds, |round| round.p50),
                median(rounds, |round| round.p99),
            ];
            println!("  {name:<26}{rate:>12.0}{p50:>12.3}{p99:>12.3}");
            [rate, p50, p99]
        };
        let ours = print("http_service on millhand", &first);
        let other = print("threadpool and oneshot", &second);
        let [rate, p50, p99] = [0, 1, 2].map(|i| ours[i] / other[i]);
        println!("  {:<26}{rate:>12.2}{p50:>12.2}{p99:>12.2}", "ratio");
    }
    Ok(())
}
