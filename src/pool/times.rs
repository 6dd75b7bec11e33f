//! The times of the tasks of a pool, in histograms if its builder asked for them.

use crate::pool::core::Core;
use crate::task::Summary;
#[cfg(feature = "histograms")]
use crate::{observe::Times, pool::pool::Pool};

#[cfg(feature = "histograms")]
impl Pool {
    /// Returns how long timed tasks waited and ran: those with a name, and those of a template with
    /// [`timed`](crate::TaskBuilder::timed). The first row is of all of them, then there is one for
    /// each name. Empty unless the pool was built with
    /// [`histograms`](crate::pool::PoolBuilder::histograms).
    ///
    /// A task counts just after its outcome is there: a thread that joins the task may be faster,
    /// one that waits for an [idle pool](crate::ThreadPool::wait_idle) is not. This takes some
    /// microseconds for each name, and holds up no task.
    ///
    /// ```
    /// let pool = millhand::ThreadPool::builder().workers(1).histograms(50).build()?;
    /// pool.task().name("parse").submit(|| ()).join().unwrap();
    /// for times in pool.histograms() {
    ///     println!("{times}");
    /// }
    /// # Ok::<(), millhand::pool::BuildError>(())
    /// ```
    pub fn histograms(&self) -> Vec<Times> {
        self.core().times()
    }
}

impl Core {
    /// Whether `record_times` does anything.
    #[inline]
    pub(crate) fn records_times(&self) -> bool {
        #[cfg(feature = "histograms")]
        return self.histograms.is_some();
        #[cfg(not(feature = "histograms"))]
        false
    }

    /// Records how long a task waited and ran, if it is timed and has run.
    #[inline]
    pub(crate) fn record_times(&self, summary: &Summary) {
        #[cfg(feature = "histograms")]
        if let Some(histograms) = &self.histograms {
            if let (Some(waited), Some(ran)) = (summary.waited, summary.ran) {
                histograms.record(summary.name.as_ref(), waited, ran);
            }
        }
        #[cfg(not(feature = "histograms"))]
        let _ = (self, summary);
    }

    #[cfg(feature = "histograms")]
    pub(crate) fn times(&self) -> Vec<Times> {
        self.histograms
            .as_ref()
            .map_or_else(Vec::new, |histograms| histograms.read())
    }
}
