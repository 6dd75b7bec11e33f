//! Where, when and with what the figures were measured. A figure means nothing without that.

use crate::contenders as c;
use crate::report::json_string;
use crate::rows::cores;
use std::fs;
use std::process::Command;

const UNKNOWN: &str = "unknown";

pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub kernel: String,
    pub compiler: String,
    pub date: String,
    /// The revision of the repository that millhand was built from.
    pub revision: String,
}

impl Machine {
    pub fn this() -> Self {
        Self {
            cpu: cpu().unwrap_or_else(|| UNKNOWN.to_owned()),
            cores: cores(),
            kernel: answer("uname", &["-sr"]),
            compiler: answer("rustc", &["--version"]),
            date: answer("date", &["-u", "+%Y-%m-%d"]),
            revision: answer("git", &["describe", "--always", "--dirty"]),
        }
    }

    /// In words, for a footer.
    pub fn describe(&self) -> String {
        let Self {
            cpu,
            cores,
            kernel,
            compiler,
            date,
            revision,
        } = self;
        format!("{cpu}, {cores} cores; {kernel}; {compiler}; millhand at {revision}; {date}")
    }

    pub fn json(&self) -> String {
        format!(
            "{{\"cpu\": {}, \"cores\": {}, \"kernel\": {}, \"compiler\": {}, \"revision\": {}, \"date\": {}}}",
            json_string(&self.cpu),
            self.cores,
            json_string(&self.kernel),
            json_string(&self.compiler),
            json_string(&self.revision),
            json_string(&self.date),
        )
    }
}

fn cpu() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first line that a program prints when it runs in the package's own folder.
fn answer(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let output = output.ok().filter(|output| output.status.success());
    let text = output.and_then(|output| String::from_utf8(output.stdout).ok());
    text.and_then(|text| text.lines().next().map(str::to_owned))
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

/// Name and version of the crate behind a contender, from the lock file. None for a contender
/// that is not one crate.
pub fn behind(contender: &str) -> Option<String> {
    let name = match contender {
        c::BARE => "crossbeam-channel",
        "par_bridge" | "par_iter" | "join" => c::RAYON,
        name => name,
    };
    let lock = include_str!("../Cargo.lock");
    let entry = format!("name = \"{name}\"");
    let mut lines = lock.lines().skip_while(|line| **line != entry);
    let version = lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')?;
    Some(format!("{name} {version}"))
}
