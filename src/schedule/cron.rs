//! Cron expressions: times of day, in a time zone. Behind the feature `cron`.
//!
//! Layer 5. The crates `croner` and `jiff` know the calendar; neither is seen from outside.
//
// croner says that an expression is wrong, but not where. So what it refuses is taken apart: each item of each field is
// tried alone among stars, and the first that is refused is the one to tell. It also takes a name of a month for a weekday's
// and the other way round, or a name that touches a number for a longer number; words are looked at first, for that.

use crate::panic;
use crate::schedule::cron_error::{CronError, Field};
use crate::schedule::every::{Rules, options};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The times of a cron expression in a time zone, and the rules of a schedule: for
/// [`TaskBuilder::cron`](crate::TaskBuilder::cron). Clones share the expression.
///
/// Five fields: minute, hour, day of the month, month, day of the week. With six, the second comes first; with seven, the
/// year comes last. Or a nickname: `@yearly`, `@monthly`, `@weekly`, `@daily`, `@hourly`.
///
/// | field | allowed |
/// | --- | --- |
/// | all | `*`, numbers, lists `1,2`, ranges `1-5`, steps `*/15` and `1-30/5` |
/// | month, weekday | names, `JAN` to `DEC` and `SUN` to `SAT`, in either case; weekdays are 0 to 7, both 0 and 7 are Sunday |
/// | day of the month | `L`: the last; `15W`: the weekday (Monday to Friday) nearest to the 15th, in the same month; `LW`: the last weekday |
/// | weekday | `MON#2`: the second Monday; `5L`: the last Friday |
///
/// Where both day fields are given (neither is `*`), a day needs to match **one** of them, as in Unix; `+` before the weekday
/// (`0 0 13 * +FRI`) asks for both.
///
/// # When clocks change
///
/// An expression with one second, one minute and one hour runs once that day: a time that is left out when clocks go forward
/// runs at the first moment after the gap, one that comes twice when they go back runs the first time. All others go by the
/// clock on the wall: what is left out is not run, and what comes twice is run twice. (This is how Vixie's cron does it.)
///
/// A schedule goes by the time of day, and looks at it once a minute at the least, so it notices a clock that was set, or a
/// machine that slept. What was leapt over counts as missed ([`missed`](Self::missed)), up to 1,000 times at once. A clock
/// that was set back by up to three hours brings nothing back that has been run; by more, the schedule goes by the new time.
///
/// Zones are those of the system, or of the copy within the program where the system has none.
///
/// ```
/// use millhand::{Cron, ThreadPool};
///
/// let pool = ThreadPool::new(1)?;
/// let office_hours = Cron::parse("*/15 9-17 * * MON-FRI", "Europe/Berlin")?;
/// let schedule = pool.task().name("sync").cron(office_hours).run(|| println!("syncing"))?;
/// println!("the next is due at {:?}", schedule.next_run());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Cron {
    pub(crate) times: Arc<Times>,
    pub(crate) rules: Rules,
}

pub(crate) struct Times {
    expression: Box<str>,
    pattern: croner::Cron,
    zone: jiff::tz::TimeZone,
}

impl Cron {
    /// Reads an expression; `zone` is a name of the IANA database.
    ///
    /// # Errors
    /// The expression is wrong (the error says where, and what is allowed), it never fires, or there is no such zone.
    ///
    /// ```
    /// use millhand::Cron;
    ///
    /// assert!(Cron::parse("0 3 * * *", "America/New_York").is_ok());
    /// let never = Cron::parse("0 0 30 2 *", "UTC").unwrap_err();
    /// assert!(never.to_string().starts_with("cron expression `0 0 30 2 *` never fires"));
    /// ```
    pub fn parse(expression: &str, zone: &str) -> Result<Self, CronError> {
        check_words(expression)?;
        let pattern = expression
            .parse::<croner::Cron>()
            .map_err(|_| diagnose(expression))?;
        let times = Times {
            expression: expression.into(),
            pattern,
            zone: jiff::tz::TimeZone::get(zone).map_err(|_| CronError::zone(zone))?,
        };
        if times.after(Duration::ZERO).is_none() {
            return Err(CronError::never(expression));
        }
        Ok(Self {
            times: Arc::new(times),
            rules: Rules::default(),
        })
    }

    /// The first time after `time`, without jitter; `None` when none is left, as after the last of its years.
    ///
    /// ```
    /// use millhand::Cron;
    /// use std::time::{Duration, SystemTime};
    ///
    /// let daily = Cron::parse("@daily", "UTC")?;
    /// let day = Duration::from_secs(24 * 3600);
    /// let first = daily.next_after(SystemTime::UNIX_EPOCH).unwrap();
    /// assert_eq!(first, SystemTime::UNIX_EPOCH + day);
    /// assert_eq!(daily.next_after(first), Some(first + day));
    /// # Ok::<(), millhand::CronError>(())
    /// ```
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let time = time.duration_since(SystemTime::UNIX_EPOCH);
        let next = self.times.after(time.unwrap_or_default())?;
        SystemTime::UNIX_EPOCH.checked_add(next)
    }

    options!();
}

impl Times {
    /// The first time after `time`, both since 1970.
    pub(crate) fn after(&self, time: Duration) -> Option<Duration> {
        // Whole seconds: what comes is later than these, so it is later than `time`, too.
        self.found(time.as_secs(), |pattern, start| {
            pattern.find_next_occurrence(start, false)
        })
    }

    /// The last time up to `time`.
    pub(crate) fn before(&self, time: Duration) -> Option<Duration> {
        self.found(time.as_secs(), |pattern, start| {
            pattern.find_previous_occurrence(start, true)
        })
    }

    fn found(
        &self,
        seconds: u64,
        find: impl FnOnce(&croner::Cron, &jiff::Zoned) -> Result<jiff::Zoned, croner::errors::CronError>,
    ) -> Option<Duration> {
        let start = jiff::Timestamp::from_second(i64::try_from(seconds).ok()?).ok()?;
        let start = start.to_zoned(self.zone.clone());
        // The timer calls this, and every pool has but one: a fault in there must not take it along.
        let found = panic::catch(|| find(&self.pattern, &start)).ok()?.ok()?;
        let seconds = u64::try_from(found.timestamp().as_second()).ok()?;
        Some(Duration::from_secs(seconds))
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { times, rules } = self;
        f.debug_struct("Cron")
            .field("expression", &times.expression)
            .field("zone", &times.zone.iana_name())
            .field("rules", rules)
            .finish()
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        let Self { times, rules } = self;
        times.expression == other.times.expression
            && times.zone == other.times.zone
            && *rules == other.rules
    }
}

macro_rules! numbers {
    ($range:literal $(, $more:literal)?) => {
        concat!(
            $range,
            ", `*`, ",
            $($more,)?
            "lists (1,2), ranges from low to high (1-5), steps (*/2, 1-5/2)"
        )
    };
}

static FIELDS: [Field; 7] = [
    Field {
        name: "second",
        allowed: numbers!("0-59"),
        words: &[],
    },
    Field {
        name: "minute",
        allowed: numbers!("0-59"),
        words: &[],
    },
    Field {
        name: "hour",
        allowed: numbers!("0-23"),
        words: &[],
    },
    Field {
        name: "day of the month",
        allowed: concat!(
            numbers!("1-31", "`?`, "),
            ", the last (L), the weekday nearest to one (15W), and the last weekday (LW)"
        ),
        words: &["L", "W", "LW"],
    },
    Field {
        name: "month",
        allowed: numbers!("1-12, JAN-DEC"),
        words: &[
            "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
        ],
    },
    Field {
        name: "day of the week",
        allowed: concat!(
            numbers!("0-7 (0 and 7 are Sunday), SUN-SAT", "`?`, "),
            ", a weekday's nth (MON#2) or last (5L) of the month, and a `+` in front where the day of the month must \
             match, too"
        ),
        words: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    },
    Field {
        name: "year",
        allowed: numbers!("1970-5000"),
        words: &[],
    },
];

/// The words of a text, with the bytes at which they begin.
fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    parts(text, char::is_whitespace).filter(|(_, word)| !word.is_empty())
}

/// What lies between separators, with the bytes at which it begins.
fn parts(text: &str, separates: impl Fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    text.split(separates)
        .map(|part| (part.as_ptr() as usize - text.as_ptr() as usize, part))
}

/// The items of an expression: which field (counted with seconds and year), the item, and where it begins.
fn items(expression: &str) -> Result<Vec<(usize, &str, usize)>, CronError> {
    let fields: Vec<_> = words(expression).collect();
    if let Some((position, _)) = fields.first().filter(|(_, word)| word.starts_with('@')) {
        return Err(CronError::nickname(expression, *position));
    }
    if !(5..=7).contains(&fields.len()) {
        return Err(CronError::fields(expression, fields.len()));
    }
    let first = usize::from(fields.len() == 5);
    let items = (first..).zip(fields).flat_map(|(field, (at, text))| {
        parts(text, |c| c == ',').map(move |(within, item)| (field, item, at + within))
    });
    Ok(items.collect())
}

/// What croner would misread: words where they do not belong, and items of nothing.
fn check_words(expression: &str) -> Result<(), CronError> {
    if expression.trim_start().starts_with('@') {
        return Ok(());
    }
    for (field, item, position) in items(expression)? {
        let known = &FIELDS[field];
        if item.is_empty() || !are_known(field, known.words, item) {
            return Err(CronError::item(expression, known, item, position));
        }
    }
    Ok(())
}

fn are_known(field: usize, known: &[&str], item: &str) -> bool {
    const DAY: usize = 3;
    const WEEKDAY: usize = 5;
    parts(item, |c| !c.is_alphabetic())
        .filter(|(_, word)| !word.is_empty())
        .all(|(at, word)| {
            let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
            let after_digit = is_digit(item[..at].chars().next_back());
            let before_digit = is_digit(item[at + word.len()..].chars().next());
            let word = word.to_ascii_uppercase();
            let name = match field {
                WEEKDAY if word == "L" => return after_digit,
                WEEKDAY => word.strip_suffix('L').unwrap_or(&word),
                _ => &word,
            };
            known.contains(&name) && !before_digit && (field == DAY || !after_digit)
        })
}

/// What in an expression is refused.
fn diagnose(expression: &str) -> CronError {
    let items = match items(expression) {
        Ok(items) => items,
        Err(error) => return error,
    };
    let stands_alone = |field: usize, item: &str| {
        let mut fields = ["*"; 7];
        fields[field] = item;
        fields.join(" ").parse::<croner::Cron>().is_ok()
    };
    let wrong = items
        .iter()
        .find(|(field, item, _)| !stands_alone(*field, item));
    // Were each of them right alone and all together wrong, the whole would be what to look at.
    let (field, item, position) = *wrong.unwrap_or(&items[0]);
    CronError::item(expression, &FIELDS[field], item, position)
}
