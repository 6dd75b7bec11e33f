//! What goes wrong between here and the server.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use redis::{ConnectionAddr, ErrorKind, RedisError};

/// Why a request got no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The server was not reached, or the connection was lost. The server may have done what was
    /// asked, unless it was not sent. `hint`: what may be wrong with the address.
    Lost {
        why: RedisError,
        was_sent: bool,
        hint: Option<&'static str>,
    },
    /// The server says that it cannot do that now, and has done nothing.
    NotNow(RedisError),
    /// The server does not know the script, and has done nothing.
    Unknown,
    /// To wait is of no use.
    Final(JobsError),
}

/// What servers that do not serve at present answer. They have done nothing.
const NOT_NOW: [&str; 10] = [
    "READONLY",
    "MASTERDOWN",
    "LOADING",
    "UNBLOCKED",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "NOREPLICAS",
    "NOMASTERLINK",
    "UNKILLABLE",
];

/// What goes to the caller: the code, the kind, and what to do.
const FINAL: [(&str, JobsErrorKind, &str); 9] = [
    (
        "OOM",
        JobsErrorKind::Full,
        "the memory of the server is full: raise `maxmemory`, or let consumers end jobs",
    ),
    (
        "MISCONF",
        JobsErrorKind::Full,
        "the server cannot write to its disk, and so takes nothing: see its log",
    ),
    (
        "NOAUTH",
        JobsErrorKind::Unreachable,
        "the server wants a password: `redis://user:password@host/`",
    ),
    (
        "WRONGPASS",
        JobsErrorKind::Unreachable,
        "the user or the password is wrong",
    ),
    (
        "NOPERM",
        JobsErrorKind::Unreachable,
        "the user may not do this: give it what it needs, as `ACL SETUSER user \
         ~{namespace}:* +@all -@dangerous +info` does",
    ),
    (
        "MOVED",
        JobsErrorKind::Unreachable,
        "this is a node of a cluster, and not that of the namespace: give the address of that one",
    ),
    (
        "CROSSSLOT",
        JobsErrorKind::Unreachable,
        "the server does not keep the keys of a namespace together",
    ),
    (
        "WRONGTYPE",
        JobsErrorKind::Corrupt,
        "another program has written to a key of the namespace",
    ),
    (
        "DENIED",
        JobsErrorKind::Unreachable,
        "the server is in protected mode: it wants a password, or `bind`",
    ),
];

/// What stands in errors of connecting that have no code, and what to do. The first one holds.
const CONNECTING: [(&str, &str); 7] = [
    (
        "Authentication required",
        "the server wants a password: `redis://user:password@host/`",
    ),
    (
        "refused to switch database",
        "give a database that the server has and the user may use, or none",
    ),
    (
        "UnknownIssuer",
        "no authority that is known has signed the certificate of the server: give that of a \
         private one by `RedisOptions::root_certificate`",
    ),
    (
        "BadSignature",
        "an authority with the same name, and not this one, has signed the certificate of the \
         server: give its own by `RedisOptions::root_certificate`",
    ),
    (
        "invalid peer certificate",
        "the certificate of the server is wrong: see its names and its time",
    ),
    (
        "InvalidContentType",
        "the handshake of TLS failed: the port does not speak TLS; its address begins with `redis`",
    ),
    (
        "received fatal alert",
        "the server ended TLS: it may want a certificate of this program, by \
         `RedisOptions::client_certificate`",
    ),
];

/// What is said of a server that was reached and has not answered. A plain server waits for the
/// rest of what it takes for a request. One with TLS ends the connection.
const NO_TLS: &str = "the handshake of TLS failed: the port may not speak TLS, and then its address \
                      begins with `redis`; or the server is too busy";
const TLS: &str = "the server ended the connection before it answered: the port may want TLS, and \
                   then its address begins with `rediss`";

/// What may be wrong with an address to which no connection could be made.
fn hint(error: &RedisError, addr: &ConnectionAddr) -> Option<&'static str> {
    // In the text of a server that was not reached in time.
    let is_silent = error.is_timeout() && !error.to_string().contains("timed out");
    let is_ended = error.is_connection_dropped() && !error.is_connection_refusal();
    match addr {
        ConnectionAddr::TcpTls { .. } if is_silent || is_ended => Some(NO_TLS),
        ConnectionAddr::Tcp(..) if is_ended => Some(TLS),
        _ => None,
    }
}

/// The code of an error of the server. Before Redis 7, one in a script is in its text.
fn has_code(error: &RedisError, code: &str) -> bool {
    if error.code() == Some(code) {
        return true;
    }
    let detail = error.detail().unwrap_or_default();
    if code == "NOPERM" && detail.contains("The user executing the script can't") {
        return true;
    }
    detail.contains(&format!("-{code} ")) || detail.starts_with(&format!("{code} "))
}

impl Trouble {
    /// What the failure of a request means that was sent.
    pub(super) fn of(error: RedisError) -> Self {
        let was_sent = true;
        if error.is_io_error() || error.kind() == ErrorKind::Parse {
            return Self::Lost {
                why: error,
                was_sent,
                hint: None,
            };
        }
        if has_code(&error, "NOSCRIPT") {
            return Self::Unknown;
        }
        if NOT_NOW.iter().any(|code| has_code(&error, code)) {
            return Self::NotNow(error);
        }
        match FINAL.iter().find(|(code, ..)| has_code(&error, code)) {
            Some((_, kind, advice)) => {
                Self::Final(JobsError::new(*kind, format!("{error}; {advice}")).with_source(error))
            }
            None => Self::Final(
                JobsError::new(JobsErrorKind::Other, error.to_string()).with_source(error),
            ),
        }
    }

    /// What the failure of a connection means, before anything was sent.
    pub(super) fn of_connecting(error: RedisError, addr: &ConnectionAddr) -> Self {
        let text = error.to_string();
        if error.kind() == ErrorKind::InvalidClientConfig {
            return Self::Final(bad_url(&error));
        }
        // The client hides the code.
        let is_refused = error.kind() == ErrorKind::AuthenticationFailed
            || text.contains("WRONGPASS")
            || text.contains("invalid password");
        if is_refused {
            return unreachable(error, "the user or the password is wrong");
        }
        if let Some((_, advice)) = CONNECTING.iter().find(|(part, _)| text.contains(part)) {
            return unreachable(error, advice);
        }
        let found = hint(&error, addr);
        match Self::of(error).unsent() {
            Self::Lost { why, was_sent, .. } => Self::Lost {
                why,
                was_sent,
                hint: found,
            },
            other => other,
        }
    }

    /// The request was not sent as a whole.
    pub(super) fn unsent(self) -> Self {
        match self {
            Self::Lost { why, hint, .. } => Self::Lost {
                why,
                was_sent: false,
                hint,
            },
            other => other,
        }
    }
}

/// To connect again is of no use.
fn unreachable(error: RedisError, advice: &str) -> Trouble {
    let text = format!("{error}; {advice}");
    Trouble::Final(JobsError::new(JobsErrorKind::Unreachable, text).with_source(error))
}

/// The address cannot be read.
pub(super) fn bad_url(error: &RedisError) -> JobsError {
    let advice = "an address is `redis://user:password@host:port/database`, or \
                  `redis+unix:///path`; `rediss` for TLS, which needs the feature `redis-tls`";
    JobsError::new(JobsErrorKind::Unreachable, format!("{error}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{ServerErrorKind, make_extension_error};

    fn server(code: &str) -> RedisError {
        make_extension_error(code.to_owned(), Some("says why".to_owned()))
    }

    #[test]
    fn what_a_server_says_has_its_meaning() {
        for code in NOT_NOW {
            assert!(
                matches!(Trouble::of(server(code)), Trouble::NotNow(_)),
                "{code}"
            );
        }
        for (code, kind, advice) in FINAL {
            let Trouble::Final(error) = Trouble::of(server(code)) else {
                panic!("{code}");
            };
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(advice), "{error}");
        }
        let lost = std::io::Error::from(std::io::ErrorKind::TimedOut);
        let lost = Trouble::of(lost.into());
        assert!(matches!(lost, Trouble::Lost { was_sent: true, .. }));
    }

    #[test]
    fn an_old_server_has_the_code_in_the_text() {
        let text = "Error running script (call to f_12): @user_script:7: -OOM command not allowed";
        let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
        let error = RedisError::from((kind, "An error", text.to_owned()));
        let Trouble::Final(error) = Trouble::of(error) else {
            panic!("it is final");
        };
        assert_eq!(error.kind(), JobsErrorKind::Full);
    }
}
