//! Looks for what no script leaves behind.
//!
//! Layer: jobs.
//
// Jobs are compared with the keys that must have them, a part at a time, and keys with the jobs
// that they have. Each comparison is one script, so that others may go on with their work.

use crate::jobs::error::JobsError;
use crate::jobs::id::JobId;
use crate::jobs::look::{Fault, Filter};
use crate::jobs::redis::ask::Ask;
use crate::jobs::redis::line::Sending;
use crate::jobs::redis::look;
use crate::jobs::redis::reply::{self, Reply};
use crate::jobs::redis::scripts as lua;
use crate::jobs::redis::shared::Shared;
use redis::Value;

/// A key may begin with one of these, after the prefix.
const GROUPS: [&str; 12] = [
    "r:", "bl:", "ch:", "hl:", "s:", "l:", "u:", "p:", "m:", "er:", "o:", "q:",
];

/// Keys of which there is one.
const SINGLE: [&str; 4] = ["due", "exp", "dead", "kept"];

/// So many keys are asked for at once.
const MOST_KEYS: usize = 1_000;

pub(super) fn check(shared: &Shared, mends: bool) -> Result<Vec<Fault>, JobsError> {
    let flag = if mends { "1" } else { "0" };
    let mut faults = Vec::new();
    let mut after = Some(JobId(0));
    while let Some(from) = after {
        let ask = look::ask(&Filter::default(), from, usize::MAX, flag);
        let mut reply = shared.run(&lua::CHECK_JOBS, ask, Sending::Again)?;
        after = reply.number_or_none()?.map(JobId);
        faults.extend(reply.each(fault)?);
    }
    for group in SINGLE {
        faults.extend(check_key(shared, flag, group, "")?);
    }
    for key in keys(shared)? {
        let group = GROUPS.iter().find(|group| key.starts_with(*group));
        if let Some(group) = group {
            faults.extend(check_key(shared, flag, group, &key[group.len()..])?);
        }
    }
    Ok(faults)
}

fn check_key(
    shared: &Shared,
    flag: &str,
    group: &str,
    name: &str,
) -> Result<Vec<Fault>, JobsError> {
    // A key may have all jobs.
    let ask = Ask::new().jobs(usize::MAX);
    let ask = ask.text(flag).text(group).text(name);
    let mut reply = shared.run(&lua::CHECK_KEY, ask, Sending::Again)?;
    reply.each(fault)
}

/// The keys of the namespace, without the prefix.
fn keys(shared: &Shared) -> Result<Vec<String>, JobsError> {
    let mut keys = Vec::new();
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(&cursor)
            .arg("MATCH")
            .arg(format!("{}*", shared.prefix))
            .arg("COUNT")
            .arg(MOST_KEYS);
        let mut reply = Reply::new(shared.lines.command("check", &scan)?)?;
        cursor = reply.text()?;
        for key in reply.values()? {
            let Value::BulkString(key) = key else {
                return Err(reply::bad("no key"));
            };
            // What is no text is no key of this.
            let key = String::from_utf8(key).unwrap_or_default();
            keys.extend(key.strip_prefix(&shared.prefix).map(str::to_owned));
        }
        if cursor == "0" {
            keys.sort_unstable();
            keys.dedup();
            return Ok(keys);
        }
    }
}

fn fault(reply: &mut Reply) -> Result<Fault, JobsError> {
    let id = reply.text()?;
    Ok(Fault {
        job: id.parse().ok().map(JobId),
        text: reply.text()?,
        is_mended: reply.flag()?,
    })
}
