//! Where the jobs are: what `--store` may say, and how it is opened.

use crate::Failure;
use millhand::jobs::{Jobs, Redis, Sqlite};
use millhand_programs::say;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// For so long a command waits for a server that does not answer. A worker waits as the library
/// does.
const PATIENCE: Duration = Duration::from_secs(5);

const ALLOWED: &str = "allowed are a path such as app.db, sqlite:app.db, and for Redis redis://, \
                       rediss:// and redis+unix:// with ?namespace=NAME if need be";

#[derive(Clone, PartialEq)]
pub(crate) enum Store {
    Sqlite(PathBuf),
    Redis {
        url: String,
        /// That of the library if it is not named.
        namespace: Option<String>,
    },
}

/// For what a store is opened.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Purpose {
    /// For what is there: a file is not made, since a list would be empty after a mistake in its
    /// name.
    Look,
    /// A file is made if there is none.
    Store,
    /// The same, and a server may be away for a while.
    Work,
}

/// Parses what `--store` says.
pub(crate) fn parse(text: &str) -> Result<Store, String> {
    if let Some((scheme, _)) = text.split_once("://") {
        return match scheme {
            "redis" | "rediss" | "redis+unix" => redis(text),
            _ => Err(ALLOWED.to_owned()),
        };
    }
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(Store::Sqlite(path.into())),
        Some(("memory", "")) => {
            Err("no other process would see its jobs; a file or a server is allowed".to_owned())
        }
        // A scheme that is not known, or has no slashes. `./a:b` is a path.
        Some((scheme, _)) if scheme.chars().all(char::is_alphanumeric) => Err(ALLOWED.to_owned()),
        None if text.is_empty() => Err(ALLOWED.to_owned()),
        _ => Ok(Store::Sqlite(text.into())),
    }
}

/// Takes the namespace out of an address. The rest is read by the library.
fn redis(text: &str) -> Result<Store, String> {
    let (address, query) = text.split_once('?').unwrap_or((text, ""));
    let mut namespace = None;
    let mut others = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        match part.split_once('=') {
            Some(("namespace", name)) if !name.is_empty() => namespace = Some(name.to_owned()),
            Some(("db" | "user" | "pass" | "protocol", _)) => others.push(part),
            _ => {
                let name = part.split('=').next().unwrap_or_default();
                return Err(format!("`{name}` is unknown: {ALLOWED}"));
            }
        }
    }
    let mut url = address.to_owned();
    if !others.is_empty() {
        url = format!("{address}?{}", others.join("&"));
    }
    Ok(Store::Redis { url, namespace })
}

/// The place alone: an address may have a password.
impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => match path.canonicalize() {
                Ok(path) => write!(f, "sqlite:{}", path.display()),
                Err(_) => write!(f, "sqlite:{}", path.display()),
            },
            Self::Redis { url, namespace } => {
                let (address, query) = url.split_once('?').unwrap_or((url, ""));
                let (scheme, rest) = address.split_once("://").unwrap_or(("redis", address));
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                write!(f, "{scheme}://{place}")?;
                if let Some(database) = query.split('&').find(|part| part.starts_with("db=")) {
                    write!(f, "/{database}")?;
                }
                match namespace {
                    Some(name) => write!(f, "?namespace={name}"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Store {
    pub(crate) fn open(&self, purpose: Purpose) -> Result<Jobs, Failure> {
        let jobs = match self {
            Self::Sqlite(path) => {
                let mut options = Sqlite::options(path);
                if purpose == Purpose::Look {
                    if !path.exists() {
                        let path = path.display();
                        let text = "there is no such file; `enqueue` and `work` make one";
                        return Err(Failure::Storage(format!("{path}: {text}")));
                    }
                    options = options.must_exist();
                }
                Jobs::open(options.open()?)?
            }
            Self::Redis { url, namespace } => {
                let mut options = Redis::options(url);
                if purpose != Purpose::Work {
                    options = options.patience(PATIENCE);
                }
                if let Some(name) = namespace {
                    options = options.namespace(name);
                }
                Jobs::open(options.open()?)?
            }
        };
        for warning in &jobs.facts().warnings {
            say(format_args!("jobs: {warning}"));
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        parse(text).map_or_else(|error| error, |store| store.to_string())
    }

    #[test]
    fn a_place_is_shown_without_its_password() {
        for (text, expected) in [
            ("no/app.db", "sqlite:no/app.db"),
            ("sqlite:no/app.db", "sqlite:no/app.db"),
            ("./no/a:b.db", "sqlite:./no/a:b.db"),
            ("redis://127.0.0.1", "redis://127.0.0.1"),
            ("rediss://me:sec@ret@host:6380/2", "rediss://host:6380/2"),
            (
                "redis://:secret@host/2?namespace=shop",
                "redis://host/2?namespace=shop",
            ),
            (
                "redis+unix:///run/redis.sock?db=3&pass=secret&namespace=a",
                "redis+unix:///run/redis.sock/db=3?namespace=a",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_store_is_refused_with_what_is_allowed() {
        for text in [
            "",
            "sqlite:",
            "postgres://host/",
            "redis:6379",
            "redis://h?nam=a",
        ] {
            assert!(shown(text).contains("redis+unix://"), "{text}");
        }
        assert!(shown("memory:").contains("no other process"));
        assert!(shown("redis://host?namespace=").starts_with("`namespace` is unknown"));
    }
}
