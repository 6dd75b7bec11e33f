//! What is looked at before a server is used.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::look::Facts;
use crate::jobs::names::check_name;
use crate::jobs::redis::fault;
use crate::jobs::redis::line::Lines;
use crate::jobs::redis::options::RedisOptions;
use crate::jobs::redis::reply::Reply;
use crate::jobs::redis::shared::{Open, Shared};
#[cfg(feature = "redis-tls")]
use crate::jobs::redis::tls;
#[cfg(feature = "redis-tls")]
use redis::ConnectionAddr;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, Value};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process;

/// The version of what is stored.
const VERSION: u64 = 1;

/// The oldest server with all that is used.
const OLDEST: (u32, u32) = (6, 2);

pub(super) fn open(options: RedisOptions) -> Result<Open, JobsError> {
    check_name("namespace", &options.namespace)?;
    let info = options.url.as_str().into_connection_info();
    let info = info.map_err(|error| fault::bad_url(&error))?;
    let place = info.addr().to_string();
    if cfg!(not(feature = "redis-tls")) && options.url.starts_with("rediss") {
        let text = format!("{place}: TLS needs the feature `redis-tls` of this crate");
        return Err(JobsError::new(JobsErrorKind::Unreachable, text));
    }
    let client = client(info, &options)?;
    let inbox = RandomState::new().hash_one(process::id());
    let open = Open::new(Shared::new(
        Lines::new(client, place, options.patience),
        format!("{{{}}}:", options.namespace),
        options.clock,
        options.max_payload,
        options.replicas,
        options.allows_eviction,
        format!("{inbox:016x}"),
    ));
    facts(&open.shared)?;
    check_version(&open.shared)?;
    Ok(open)
}

fn client(info: ConnectionInfo, options: &RedisOptions) -> Result<Client, JobsError> {
    #[cfg(feature = "redis-tls")]
    {
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            tls::choose_provider();
        }
        if !options.certificates.is_empty() {
            return options.certificates.clone().client(info);
        }
    }
    #[cfg(not(feature = "redis-tls"))]
    let _ = options;
    Client::open(info).map_err(|error| fault::bad_url(&error))
}

/// Looks at the server, and refuses one that does not do.
pub(super) fn facts(shared: &Shared) -> Result<Facts, JobsError> {
    shared.check_process()?;
    let info = shared.lines.command("INFO", &redis::cmd("INFO"))?;
    let info = Reply::new(Value::Array(vec![info]))?.text()?;
    let info = fields(&info);
    let refuse = |text: String| {
        let text = format!("{}: {text}", shared.lines.place);
        Err(JobsError::new(JobsErrorKind::Unreachable, text))
    };
    let version = info.get("redis_version").copied().unwrap_or_default();
    if let Some(found) = parse_version(version) {
        if found < OLDEST {
            let (major, minor) = OLDEST;
            return refuse(format!(
                "the server is Redis {version}; {major}.{minor} or newer is needed"
            ));
        }
    }
    if info.get("role") == Some(&"slave") {
        return refuse("the server is a replica: give the address of its primary".to_owned());
    }
    let mut warnings = Vec::new();
    let policy = info.get("maxmemory_policy").copied().unwrap_or_default();
    if policy.starts_with("allkeys") && !shared.allows_eviction {
        return refuse(format!(
            "its `maxmemory-policy` is `{policy}`, so it removes jobs when its memory is full: set \
             `noeviction`, or use `RedisOptions::allow_eviction`"
        ));
    }
    if policy.starts_with("allkeys") {
        warnings.push(format!(
            "the server removes jobs when its memory is full, since its `maxmemory-policy` is \
             `{policy}`"
        ));
    } else if policy.starts_with("volatile") {
        warnings.push(format!(
            "when its memory is full, the server forgets which batches were stored, since its \
             `maxmemory-policy` is `{policy}`: `noeviction` is better"
        ));
    }
    if info.get("aof_enabled") == Some(&"0") {
        let text = "a restart of the server takes what was stored since its last snapshot, since \
                    `appendonly` is `no`";
        warnings.push(text.to_owned());
    }
    Ok(Facts {
        name: "Redis".to_owned(),
        version: version.to_owned(),
        warnings,
        repeats: true,
        is_shared: true,
        max_payload: Some(shared.max_payload),
    })
}

/// The lines `name:value` of INFO.
fn fields(info: &str) -> HashMap<&str, &str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name, value.trim()))
        .collect()
}

fn parse_version(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Refuses what a newer version of this library has stored. Notes the version of the first one.
fn check_version(shared: &Shared) -> Result<(), JobsError> {
    let key = shared.key("version", "");
    let mut note = redis::cmd("SET");
    note.arg(&key).arg(VERSION).arg("NX");
    match shared.lines.command("opening", &note) {
        // If the memory is full, the first enqueue says so.
        Err(error) if error.kind() != JobsErrorKind::Full => return Err(error),
        _ => {}
    }
    let mut get = redis::cmd("GET");
    let found = shared.lines.command("opening", get.arg(&key))?;
    let found = Reply::new(Value::Array(vec![found]))?.number_or_none::<u64>()?;
    if found.is_none_or(|found| found <= VERSION) {
        return Ok(());
    }
    let place = &shared.lines.place;
    Err(JobsError::new(
        JobsErrorKind::NewerSchema,
        format!(
            "{place}: a newer version of this library has written to `{}`: update this program",
            shared.prefix
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_info_are_read() {
        let info = "# Server\r\nredis_version:7.0.15\r\nrole:master\r\n\r\nempty:\r\n";
        let info = fields(info);
        assert_eq!(parse_version(info["redis_version"]), Some((7, 0)));
        assert_eq!((info["role"], info["empty"]), ("master", ""));
        assert!(parse_version("6.0.20") < Some(OLDEST));
        assert_eq!(parse_version("unknown"), None);
    }
}
