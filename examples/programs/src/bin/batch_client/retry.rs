//! Which failures are worth another attempt, and after which delay: decisions alone.

use jiff::fmt::rfc2822::DateTimeParser;
use std::fmt;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};
use ureq::Error;

/// Asks for another attempt.
#[derive(Debug)]
pub(crate) struct Again {
    /// What the server asks for. If it asks for nothing, the policy decides.
    pub(crate) after: Option<Duration>,
}

impl fmt::Display for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it may pass at another attempt")
    }
}

/// Whether a status may be another one after a while.
pub(crate) fn is_worth_it(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Whether an error is one of the way to the server: another attempt may get a response.
pub(crate) fn may_pass(error: &Error) -> bool {
    match error {
        // What TLS refuses, such as a certificate, it refuses again.
        Error::Io(error) => error.kind() != ErrorKind::InvalidData,
        Error::Timeout(_) | Error::HostNotFound | Error::ConnectionFailed | Error::Protocol(_) => {
            true
        }
        _ => false,
    }
}

/// The text of an error. That of a time limit is the same wherever it strikes.
pub(crate) fn text(error: &Error) -> String {
    match error {
        Error::Timeout(_) => TIMED_OUT.to_owned(),
        error => error.to_string(),
    }
}

pub(crate) const TIMED_OUT: &str = "timed out";

/// Reads the header `Retry-After`: a number of seconds, or a date.
pub(crate) fn after(value: &[u8], now: SystemTime) -> Option<Duration> {
    let value = std::str::from_utf8(value).ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    // A date that has passed asks for no delay.
    Some(
        SystemTime::from(date)
            .duration_since(now)
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_420); // 07:27:00
        let after = |text: &str| after(text.as_bytes(), now).map(|delay| delay.as_secs());
        assert_eq!(after("0"), Some(0));
        assert_eq!(after(" 120 "), Some(120));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(after("Wed, 21 Oct 2015 07:26:00 GMT"), Some(0));
        assert_eq!(after("Thu, 21 Oct 2015 07:28:00 GMT"), None); // it was a Wednesday
        for nothing in ["", "-1", "soon", "1.5", "99999999999999999999"] {
            assert_eq!(after(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn statuses_that_may_change() {
        let worth: Vec<_> = (100..600).filter(|status| is_worth_it(*status)).collect();
        assert_eq!(worth, [408, 425, 429, 500, 502, 503, 504]);
    }

    #[test]
    fn errors_of_the_way_may_pass() {
        assert!(may_pass(&Error::Io(ErrorKind::ConnectionRefused.into())));
        assert!(!may_pass(&Error::Io(ErrorKind::InvalidData.into())));
        assert!(may_pass(&Error::HostNotFound));
        assert!(!may_pass(&Error::TooManyRedirects));
        assert!(!may_pass(&Error::Tls("the certificate has expired")));
    }
}
