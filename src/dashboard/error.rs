//! The error of starting a dashboard.

use std::error::Error;
use std::fmt;
use std::io;

/// The error of [`serve`](crate::dashboard::DashboardBuilder::serve): it names the option that is
/// not allowed, or the address that could not be served.
///
/// ```
/// use millhand::dashboard::Dashboard;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let error = Dashboard::builder().pool(&pool).serve("0.0.0.0:0").unwrap_err();
/// assert!(error.to_string().contains("allow_remote"));
/// # Ok::<(), millhand::pool::BuildError>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Debug)]
pub struct ServeError(Kind);

#[derive(Debug)]
enum Kind {
    Invalid {
        option: &'static str,
        allowed: &'static str,
    },
    Io {
        attempted: String,
        source: io::Error,
    },
}

impl ServeError {
    pub(crate) fn invalid(option: &'static str, allowed: &'static str) -> Self {
        Self(Kind::Invalid { option, allowed })
    }

    pub(crate) fn io(attempted: impl Into<String>, source: io::Error) -> Self {
        let attempted = attempted.into();
        Self(Kind::Io { attempted, source })
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Invalid { option, allowed } => {
                write!(
                    f,
                    "the dashboard's `{option}` is not allowed: it must be {allowed}"
                )
            }
            Kind::Io { attempted, source } => {
                write!(f, "the dashboard could not {attempted}: {source}")
            }
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Kind::Invalid { .. } => None,
            Kind::Io { source, .. } => Some(source),
        }
    }
}
