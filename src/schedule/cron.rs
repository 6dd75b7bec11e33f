//! Cron expressions: times of day, in a time zone. Behind the feature `cron`.
//!
//! Layer: schedule. The crates `croner` and `jiff` know the calendar. Neither is in the public API.
//
// croner reports that an expression is wrong, but not where. So an expression that croner refuses
// is taken apart: its fields are tried one after the other, with `*` in those that follow. In the
// first field that is refused the items are tried alone. The first item that is refused goes into
// the error, or the field if only its items together are wrong.
//
// croner also accepts some wrong words: the name of a month in the field of the weekday and the
// other way round, and a name next to a digit, which it reads as a longer number. It takes `L,LW`
// for `LW`, and a `+` alone for no weekday. So all words are checked before croner reads the
// expression.

use crate::schedule::calendar::Times;
use crate::schedule::every::{Rules, options};
use croner::CronPattern;
use croner::parser::CronParser;
use jiff::tz::TimeZone;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Describes a schedule that runs at the times of a cron expression in a time zone, for
/// [`TaskBuilder::cron`](crate::TaskBuilder::cron): the times and the rules, as plain data.
///
/// An expression has five fields: minute, hour, day of the month, month, day of the week. With six
/// fields, the second comes first. With seven, the year also comes last. A nickname can stand for
/// an expression: `@yearly`, `@monthly`, `@weekly`, `@daily`, `@hourly`.
///
/// | field | allowed |
/// | --- | --- |
/// | all | `*`, numbers, lists `1,2`, ranges `1-5`, steps `*/15` and `1-30/5` |
/// | month, weekday | names, `JAN` to `DEC` and `SUN` to `SAT`, in either case; weekdays are 0 to 7, both 0 and 7 are Sunday |
/// | day of the month | `L`: the last; `15W`: the weekday (Monday to Friday) nearest to the 15th, in the same month; `LW`: the last weekday |
/// | weekday | `MON#2`: the second Monday; `5L`: the last Friday |
///
/// Guide: [time](crate::guide::time).
///
/// # Two fields for the day
///
/// If neither the day of the month nor the weekday begins with a `*` (or with the `?` that means
/// the same), a day must match **one** of them: `0 0 13 * FRI` means each 13th and each Friday.
/// If one of them begins with a `*`, or if a `+` is before the weekday, a day must match **both**.
/// So `0 0 */2 * SAT` means the Saturdays with an odd date, and `0 0 13 * +FRI` each Friday the
/// 13th. Without the `+`, Vixie's cron and cronie do the same.
///
/// # Daylight saving
///
/// An expression with one second, one minute and one hour runs once on each of its days. If its
/// time is left out because clocks go forward, it runs at the first moment after the gap, also if
/// that is on the next day. If its time comes twice because clocks go back, it runs the first time.
///
/// All other expressions follow the wall clock: a time that is left out is not run, and a time that
/// comes twice is run twice. Vixie's cron does the same if the hour or the minute has a `*`. It
/// treats lists and ranges of hours and minutes (`0 2,14 * * *`) like single ones.
///
/// # When the clock is set
///
/// A schedule follows the time of day, and reads it at least once per minute. So it notices that
/// the clock was set or that the machine slept. Times that passed meanwhile count as
/// [`missed`](Self::missed), at most 1,000 at once.
///
/// If the clock is set back, the rule is that of Vixie's cron:
///
/// | expression | the clock is set back |
/// | --- | --- |
/// | the hour, the minute or the second has a `*` | the schedule follows the new time at once, and so repeats times. A step of up to a minute repeats nothing (up to a second, if the second has a `*`) |
/// | fixed times, such as `30 2 * * *` and `0 9-17 * * *` | no time is run again. A step of more than three hours means that the clock was wrong: the schedule then follows the new time |
///
/// # Time zones
///
/// Time zones come from the system. If the system has none, a copy in the program is used.
///
/// # Clones
///
/// Clones share the expression.
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

impl Cron {
    /// Parses an expression. `zone` is a name of the IANA database.
    ///
    /// # Errors
    /// The expression is wrong (the error says where, and what is allowed), it never fires, or
    /// there is no such zone.
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
        let pattern = pattern(expression).ok_or_else(|| diagnose(expression))?;
        let zone = TimeZone::get(zone).map_err(|_| CronError::zone(zone))?;
        let times = Times::new(expression, pattern, zone);
        if times.after(Duration::ZERO).is_none() {
            return Err(CronError::never(expression));
        }
        Ok(Self {
            times: Arc::new(times),
            rules: Rules::default(),
        })
    }

    /// Returns the first time after `time`, without jitter. `None` if there is none, for example
    /// after the last year of the expression.
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
    /// # Ok::<(), millhand::schedule::CronError>(())
    /// ```
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        let time = time.duration_since(SystemTime::UNIX_EPOCH);
        let next = self.times.after(time.unwrap_or_default())?;
        SystemTime::UNIX_EPOCH.checked_add(next)
    }

    options!();
}

/// The expression and its time zone.
impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.times.zone.iana_name().unwrap_or("UTC");
        write!(f, "{} {zone}", self.times.expression)
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
            ", `*` by itself, ",
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
            numbers!("1-31", "`?` by itself, "),
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
            numbers!("0-7 (0 and 7 are Sunday), SUN-SAT", "`?` by itself, "),
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

/// The parts between separators, with the bytes at which they begin.
fn parts(text: &str, separates: impl Fn(char) -> bool) -> impl Iterator<Item = (usize, &str)> {
    text.split(separates)
        .map(|part| (part.as_ptr() as usize - text.as_ptr() as usize, part))
}

/// A part of an expression, and where it begins.
type Part<'a> = (usize, &'a str);

/// The fields of an expression, the second to the year. A second that is left out is not among
/// them, and a year neither. Each has its number: the second is 0.
fn fields(expression: &str) -> Result<Vec<(usize, Part<'_>)>, CronError> {
    let fields: Vec<_> = words(expression).collect();
    if let Some((position, _)) = fields.first().filter(|(_, word)| word.starts_with('@')) {
        return Err(CronError::nickname(expression, *position));
    }
    if !(5..=7).contains(&fields.len()) {
        return Err(CronError::fields(expression, fields.len()));
    }
    let first = usize::from(fields.len() == 5);
    Ok((first..).zip(fields).collect())
}

/// The items of the list in a field. A `+` before a weekday is none of them.
fn items(field: usize, (position, text): Part<'_>) -> impl Iterator<Item = Part<'_>> {
    let list = match field {
        WEEKDAY if text.len() > 1 => text.strip_prefix('+').unwrap_or(text),
        _ => text,
    };
    let position = position + text.len() - list.len();
    parts(list, |c| c == ',').map(move |(within, item)| (position + within, item))
}

const DAY: usize = 3;
const WEEKDAY: usize = 5;

/// Refuses what croner would misread: words in a wrong place, and empty items.
fn check_words(expression: &str) -> Result<(), CronError> {
    if expression.trim_start().starts_with('@') {
        return Ok(());
    }
    for (field, text) in fields(expression)? {
        let known = &FIELDS[field];
        let (mut last, mut last_weekday) = (false, false);
        for (position, item) in items(field, text) {
            if item.is_empty() || item.starts_with('+') || !are_known(field, known.words, item) {
                return Err(CronError::item(expression, known, item, position));
            }
            last |= item.eq_ignore_ascii_case("L");
            last_weekday |= item.eq_ignore_ascii_case("LW");
        }
        if last && last_weekday {
            let (position, text) = text;
            return Err(CronError::item(expression, known, text, position));
        }
    }
    Ok(())
}

/// What croner makes of an expression.
fn pattern(expression: &str) -> Option<CronPattern> {
    // As in Vixie's cron, also a day field such as `*/2` is no restriction of its own.
    let is_star = |field| {
        let fields = fields(expression).ok()?;
        let (_, (_, text)) = fields.into_iter().find(|(number, _)| *number == field)?;
        Some(text.starts_with(['*', '?']))
    };
    let both = is_star(DAY) == Some(true) || is_star(WEEKDAY) == Some(true);
    let parser = CronParser::builder().dom_and_dow(both).build();
    Some(parser.parse(expression).ok()?.pattern)
}

/// Whether each word of an item may stand in the field, where it stands.
fn are_known(field: usize, known: &[&str], item: &str) -> bool {
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

/// Finds out why croner refuses an expression.
fn diagnose<'a>(expression: &'a str) -> CronError {
    let fields = match fields(expression) {
        Ok(fields) => fields,
        Err(error) => return error,
    };
    let mut tried = ["*"; 7];
    let mut is_refused = |field: usize, part: &'a str| {
        tried[field] = part;
        pattern(&tried.join(" ")).is_none()
    };
    let first = fields
        .iter()
        .find(|(field, (_, text))| is_refused(*field, text));
    // With its last field the expression is complete, and refused.
    let (field, text) = *first.unwrap_or(&fields[fields.len() - 1]);
    let item = items(field, text).find(|(_, item)| is_refused(field, item));
    let (position, item) = item.unwrap_or(text);
    CronError::item(expression, &FIELDS[field], item, position)
}

/// Reports why [`Cron::parse`](crate::Cron::parse) refused an expression. The text says where the
/// fault is, and what is allowed there.
///
/// ```
/// let error = millhand::Cron::parse("*/15 9-17 * * MON-FRY", "Europe/Berlin").unwrap_err();
/// assert_eq!(error.position(), Some(14));
/// assert_eq!(
///     error.to_string(),
///     "cron expression `*/15 9-17 * * MON-FRY`: `MON-FRY` at position 14 is no day of the week: allowed are 0-7 (0 and 7 \
///      are Sunday), SUN-SAT, `*` by itself, `?` by itself, lists (1,2), ranges from low to high (1-5), steps (*/2, 1-5/2), a weekday's nth \
///      (MON#2) or last (5L) of the month, and a `+` in front where the day of the month must match, too",
/// );
/// ```
///
/// Guide: [time](crate::guide::time).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronError {
    /// The expression, or the zone.
    text: Box<str>,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Fields(usize),
    Nickname {
        position: usize,
    },
    Item {
        field: &'static Field,
        item: Box<str>,
        position: usize,
    },
    Never,
    Zone,
}

/// A field of an expression: its name, and what may stand in it.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: &'static str,
    allowed: &'static str,
    /// The words that may stand in it.
    words: &'static [&'static str],
}

impl CronError {
    fn fields(expression: &str, fields: usize) -> Self {
        Self::new(expression, Kind::Fields(fields))
    }

    fn nickname(expression: &str, position: usize) -> Self {
        Self::new(expression, Kind::Nickname { position })
    }

    fn item(expression: &str, field: &'static Field, item: &str, position: usize) -> Self {
        let item = item.into();
        Self::new(
            expression,
            Kind::Item {
                field,
                item,
                position,
            },
        )
    }

    fn never(expression: &str) -> Self {
        Self::new(expression, Kind::Never)
    }

    fn zone(zone: &str) -> Self {
        Self::new(zone, Kind::Zone)
    }

    fn new(text: &str, kind: Kind) -> Self {
        Self {
            text: text.into(),
            kind,
        }
    }

    /// Returns where in the expression the fault is, in bytes from the beginning. `None` if the
    /// fault is not in one place.
    ///
    /// ```
    /// use millhand::Cron;
    ///
    /// assert_eq!(Cron::parse("0 25 * * *", "UTC").unwrap_err().position(), Some(2));
    /// assert_eq!(Cron::parse("0 0 30 2 *", "UTC").unwrap_err().position(), None); // 30 February
    /// assert_eq!(Cron::parse("0 0 * * *", "Moon/Tycho").unwrap_err().position(), None);
    /// ```
    pub fn position(&self) -> Option<usize> {
        match self.kind {
            Kind::Item { position, .. } | Kind::Nickname { position } => Some(position),
            Kind::Fields(_) | Kind::Never | Kind::Zone => None,
        }
    }
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, kind } = self;
        if *kind != Kind::Zone {
            write!(f, "cron expression `{text}`")?;
        }
        match kind {
            Kind::Fields(fields) => write!(
                f,
                " has {fields} fields: allowed are 5 (minute, hour, day of the month, month, day of the week), 6 (the \
                 second before them) and 7 (the year after them)"
            ),
            Kind::Nickname { position } => write!(
                f,
                " is no nickname at position {position}: allowed are @yearly, @annually, @monthly, @weekly, @daily and \
                 @hourly"
            ),
            Kind::Item {
                field,
                item,
                position,
            } => write!(
                f,
                ": `{item}` at position {position} is no {}: allowed are {}",
                field.name, field.allowed
            ),
            Kind::Never => {
                f.write_str(" never fires: there must be a day, from 1970 on, with the date, weekday and year that it asks for")
            }
            Kind::Zone => write!(
                f,
                "unknown time zone `{text}`: allowed are the names of the IANA database, such as `Europe/Berlin` and `UTC`"
            ),
        }
    }
}

impl Error for CronError {}
