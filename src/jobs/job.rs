//! What a program says of its jobs.
//!
//! Layer: jobs.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A job: a value that is stored, and says what there is to do. The program that enqueues it and
/// the one that works on it share the type.
///
/// ```
/// use millhand::jobs::Job;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct SendMail {
///     to: String,
///     template: String,
/// }
///
/// impl Job for SendMail {
///     const NAME: &'static str = "send-mail";
///     const QUEUE: &'static str = "mail";
///     type Output = ();
/// }
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// Its kind, as it is stored: a name as [`check_name`](crate::jobs::check_name) wants it. The
    /// type can be renamed and moved, and this stays.
    const NAME: &'static str;

    /// Names that it had before. Jobs that were stored under them are worked on, too.
    const ALIASES: &'static [&'static str] = &[];

    /// The queue in which it waits, unless its template says another.
    const QUEUE: &'static str = "default";

    /// What its handler returns. It is stored, so it can be read from another process.
    type Output: Serialize + DeserializeOwned + Send + 'static;
}
