//! Why a cron expression was refused.
//!
//! Layer 5.

use std::error::Error;
use std::fmt;

/// Why [`Cron::parse`](crate::Cron::parse) refused: the text says where, and what is allowed there.
///
/// ```
/// let error = millhand::Cron::parse("*/15 9-17 * * MON-FRY", "Europe/Berlin").unwrap_err();
/// assert_eq!(error.position(), Some(14));
/// assert_eq!(
///     error.to_string(),
///     "cron expression `*/15 9-17 * * MON-FRY`: `MON-FRY` at position 14 is no day of the week: allowed are 0-7 (0 and 7 \
///      are Sunday), SUN-SAT, `*`, `?`, lists (1,2), ranges from low to high (1-5), steps (*/2, 1-5/2), a weekday's nth \
///      (MON#2) or last (5L) of the month, and a `+` in front where the day of the month must match, too",
/// );
/// ```
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

/// A field of an expression: what it is, and what it may be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) allowed: &'static str,
    /// The words that may stand in it by themselves.
    pub(crate) words: &'static [&'static str],
}

impl CronError {
    pub(crate) fn fields(expression: &str, fields: usize) -> Self {
        Self::new(expression, Kind::Fields(fields))
    }

    pub(crate) fn nickname(expression: &str, position: usize) -> Self {
        Self::new(expression, Kind::Nickname { position })
    }

    pub(crate) fn item(
        expression: &str,
        field: &'static Field,
        item: &str,
        position: usize,
    ) -> Self {
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

    pub(crate) fn never(expression: &str) -> Self {
        Self::new(expression, Kind::Never)
    }

    pub(crate) fn zone(zone: &str) -> Self {
        Self::new(zone, Kind::Zone)
    }

    fn new(text: &str, kind: Kind) -> Self {
        Self {
            text: text.into(),
            kind,
        }
    }

    /// Where in the expression the fault lies, in bytes from its beginning; `None` if it is not in one place.
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
