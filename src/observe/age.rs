//! For how long something has gone on, as exactly as that is known.
//!
//! Layer: observe.

use std::fmt;
use std::time::Duration;

/// For how long something has gone on: exactly, or at least so long.
///
/// A plain task reads no clock when it starts. While a watchdog or a dashboard looks at the pool,
/// its sampler notes when it first saw the task. Then the age counts from there, and is shown as
/// `>= 3.0s`.
///
/// ```
/// use millhand::ThreadPool;
/// use std::sync::mpsc::channel;
///
/// let pool = ThreadPool::new(1)?;
/// let (send, receive) = channel();
/// let (hold, held) = channel::<()>();
/// pool.task().name("import").execute(move || {
///     send.send(()).unwrap();
///     let _ = held.recv();
/// });
/// receive.recv()?;
/// let age = pool.tasks().rows()[0].age.unwrap(); // it has a name, so it is timed
/// assert!(age.is_exact);
/// # drop(hold);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Age {
    /// For so long at least.
    pub at_least: Duration,
    /// Whether it is exactly so long.
    pub is_exact: bool,
}

impl Age {
    pub(crate) fn exactly(at_least: Duration) -> Self {
        let is_exact = true;
        Self { at_least, is_exact }
    }

    pub(crate) fn at_least(at_least: Duration) -> Self {
        let is_exact = false;
        Self { at_least, is_exact }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_exact { "" } else { ">= " };
        write!(f, "{sign}{}", Short(self.at_least))
    }
}

/// A duration with three digits or so, for tables.
pub(crate) struct Short(pub(crate) Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{:.1?}", self.0),
            1..60 => write!(f, "{:.1}s", self.0.as_secs_f64()),
            60..3_600 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            _ => write!(f, "{}h{:02}m", seconds / 3_600, seconds % 3_600 / 60),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        let text = |d| Age::at_least(d).to_string();
        assert_eq!(text(Duration::from_micros(1500)), ">= 1.5ms");
        assert_eq!(text(Duration::from_millis(2345)), ">= 2.3s");
        assert_eq!(text(Duration::from_secs(61)), ">= 1m01s");
        assert_eq!(
            Age::exactly(Duration::from_secs(7_260)).to_string(),
            "2h01m"
        );
    }
}
