//! The error of starting a dashboard.

use std::error::Error;
use std::fmt;
use std::io;

/// The error of [`serve`](crate::dashboard::DashboardBuilder::serve): it names the option that is
/// not allowed, or the address that could not be served. [`io`](Self::io) has the error of the
/// system, such as that the address is in use; the text includes it.
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

    pub(crate) fn of_system(attempted: impl Into<String>, source: io::Error) -> Self {
        let attempted = attempted.into();
        Self(Kind::Io { attempted, source })
    }

    /// Returns the error of the system; `None` if an option is not allowed.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    /// use std::io::ErrorKind;
    /// use std::net::TcpListener;
    ///
    /// let taken = TcpListener::bind("127.0.0.1:0")?;
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let error = Dashboard::builder().pool(&pool).serve(taken.local_addr()?).unwrap_err();
    /// assert_eq!(error.io().map(|error| error.kind()), Some(ErrorKind::AddrInUse));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn io(&self) -> Option<&io::Error> {
        match &self.0 {
            Kind::Invalid { .. } => None,
            Kind::Io { source, .. } => Some(source),
        }
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
        self.io()?.source() // the text has the error of the system
    }
}
