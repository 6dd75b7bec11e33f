//! What a job may be: names, keys, sizes. Every storage refuses the same, by the same texts.
//!
//! Layer: jobs.

use crate::jobs::error::{JobsError, JobsErrorKind};
use crate::jobs::record::{Batch, NewJob, UniqueUntil};
use std::time::Duration;

/// A payload has at most so many bytes, unless a storage is opened with another limit.
///
/// Guide: [jobs](crate::guide::jobs).
pub const MAX_PAYLOAD: usize = 1 << 20;

/// A text of an error has at most so many bytes.
pub(crate) const MAX_ERROR: usize = 8 << 10;

const MAX_NAME: usize = 64;
const MAX_KEY: usize = 256;

/// A job follows at most so many others.
const MAX_PARENTS: usize = 10_000;

/// The jobs of a batch follow so many others, all in all: they are stored in one step.
const MAX_PARENTS_OF_A_BATCH: usize = 100_000;

/// Returns an error if a storage must refuse the batch. It names the first job that is not allowed,
/// by its place.
///
/// Guide: [jobs](crate::guide::jobs).
///
/// # Errors
/// [`TooLarge`](JobsErrorKind::TooLarge), [`Name`](JobsErrorKind::Name) or
/// [`Invalid`](JobsErrorKind::Invalid).
pub fn check_batch(batch: &Batch<'_>, max_payload: usize) -> Result<(), JobsError> {
    for (place, job) in batch.jobs.iter().enumerate() {
        check_job(job, max_payload).map_err(|error| at_place(error, batch.jobs, place))?;
    }
    let parents: usize = batch.jobs.iter().map(|job| job.after.len()).sum();
    if parents > MAX_PARENTS_OF_A_BATCH {
        return Err(JobsError::new(
            JobsErrorKind::Invalid,
            format!(
                "the jobs of a batch follow {parents} others, all in all; {MAX_PARENTS_OF_A_BATCH} \
                 are allowed: store them in several batches"
            ),
        ));
    }
    Ok(())
}

/// The caller of one job knows of no batch.
fn at_place(error: JobsError, jobs: &[NewJob], place: usize) -> JobsError {
    match jobs.len() {
        1 => error,
        _ => JobsError::new(error.kind(), format!("job {place} of the batch: {error}")),
    }
}

/// The error for the job at this place, which is to follow one that has never been. Ids begin at 1
/// and rise, so it names 0, or the largest one: all storages name the same.
pub(super) fn unknown_parent(jobs: &[NewJob], place: usize) -> JobsError {
    let after = jobs.get(place).map_or(&[][..], |job| &job.after);
    let zero = after.iter().find(|id| id.0 == 0);
    let id = zero.or(after.iter().max()).copied().unwrap_or_default();
    let text = format!(
        "a job that follows job {id}, which has never been; one that was stored before is allowed"
    );
    at_place(JobsError::new(JobsErrorKind::Invalid, text), jobs, place)
}

fn check_job(job: &NewJob, max_payload: usize) -> Result<(), JobsError> {
    check_name("queue", &job.queue)?;
    check_name("kind", &job.kind)?;
    if job.payload.len() > max_payload {
        let (bytes, kind) = (job.payload.len(), &job.kind);
        return Err(JobsError::new(
            JobsErrorKind::TooLarge,
            format!("the payload of a job {kind:?} has {bytes} bytes; {max_payload} are allowed"),
        ));
    }
    if let Some(unique) = &job.unique {
        let bytes = unique.key.len();
        if bytes > MAX_KEY {
            return Err(JobsError::new(
                JobsErrorKind::Name,
                format!("a unique key of {bytes} bytes; {MAX_KEY} are allowed"),
            ));
        }
        if unique.until == UniqueUntil::Elapsed(Duration::ZERO) {
            return Err(JobsError::new(
                JobsErrorKind::Invalid,
                "a unique key for no time; a millisecond or more is allowed",
            ));
        }
    }
    if job.replace && job.unique.is_none() {
        return Err(JobsError::new(
            JobsErrorKind::Invalid,
            "a job that takes the place of another, and has no unique key; one with a key is \
             allowed",
        ));
    }
    if let Some(bytes) = job.lane.as_ref().map(String::len) {
        if !(1..=MAX_KEY).contains(&bytes) {
            return Err(JobsError::new(
                JobsErrorKind::Name,
                format!("a lane of {bytes} bytes; 1 to {MAX_KEY} are allowed"),
            ));
        }
    }
    if job.after.len() > MAX_PARENTS {
        let count = job.after.len();
        return Err(JobsError::new(
            JobsErrorKind::Invalid,
            format!("a job that follows {count} jobs; {MAX_PARENTS} are allowed"),
        ));
    }
    if job.expires == Some(Duration::ZERO) {
        return Err(JobsError::new(
            JobsErrorKind::Invalid,
            "a job that expires when it is due; a millisecond or more later is allowed",
        ));
    }
    Ok(())
}

/// Returns an error if a queue, a kind or a schedule cannot have this name. It has 1 to 64
/// characters: ASCII letters and digits, and `_ . : / -`.
///
/// Guide: [jobs](crate::guide::jobs).
///
/// # Errors
/// [`Name`](JobsErrorKind::Name).
///
/// ```
/// assert!(millhand::jobs::check_name("queue", "mail/eu-1").is_ok());
/// let error = millhand::jobs::check_name("queue", "two words").unwrap_err();
/// assert!(error.to_string().contains("`two words`"));
/// ```
pub fn check_name(what: &str, name: &str) -> Result<(), JobsError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/-".contains(&byte);
    if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(JobsError::new(
        JobsErrorKind::Name,
        format!(
            "the name of a {what}, `{name}`: 1 to {MAX_NAME} characters are allowed, of the ASCII \
             letters, the digits, and `_ . : / -`"
        ),
    ))
}

/// Cuts the text of an error at 8 KiB, on the border of a character.
///
/// Guide: [jobs](crate::guide::jobs).
pub fn cut_error(error: &str) -> &str {
    if error.len() <= MAX_ERROR {
        return error;
    }
    let mut end = MAX_ERROR;
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    &error[..end]
}
