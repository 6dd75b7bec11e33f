//! The times of cron around changes of clocks, compared with an independent way to find them: going from
//! minute to minute with jiff, and asking at each what the wall clock shows.
//!
//! The expressions are made here, with the values that they mean, so that nothing relies on a parser.

use jiff::Timestamp;
use jiff::civil::Weekday;
use jiff::tz::{Offset, TimeZone};
use millhand::Cron;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const SEED: u64 = 1970;
/// How far from a change times are compared. A gap may be a day long.
const FAR: i64 = 26 * HOUR;

/// A sample of what `all` compares.
#[test]
fn cron_is_what_counting_minute_by_minute_gives_around_changes_of_clocks() {
    let zones = zones();
    let expressions = expressions();
    let mut random = Random(SEED);
    let mut counts = Counts::default();
    for _ in 0..150 {
        let zone = &zones[random.below(zones.len())];
        let change = zone.changes[random.below(zone.changes.len())];
        let around = Around::new(zone, change);
        counts.changes += 1;
        for _ in 0..20 {
            let expression = &expressions[random.below(expressions.len())];
            let cron = expression.cron(zone);
            around.compare(expression, &cron, &mut random, &mut counts);
        }
    }
    assert_eq!(counts.mismatches, 0, "{counts}");
    assert!(counts.comparisons > 10_000, "{counts}");
}

/// Compares everything.
#[allow(dead_code)] // The binary of its own calls it.
pub(crate) fn all() -> Counts {
    let zones = zones();
    let expressions = expressions();
    let mut random = Random(SEED);
    let mut counts = Counts {
        zones: zones.len(),
        expressions: expressions.len(),
        ..Counts::default()
    };
    for (number, zone) in zones.iter().enumerate() {
        eprintln!("{number} of {}: {}, {counts}", zones.len(), zone.name);
        let crons: Vec<_> = expressions.iter().map(|it| it.cron(zone)).collect();
        for change in &zone.changes {
            let around = Around::new(zone, *change);
            counts.changes += 1;
            for (expression, cron) in expressions.iter().zip(&crons) {
                around.compare(expression, cron, &mut random, &mut counts);
            }
        }
    }
    assert_eq!(counts.mismatches, 0, "{counts}");
    counts
}

#[derive(Default)]
pub(crate) struct Counts {
    zones: usize,
    changes: usize,
    expressions: usize,
    comparisons: usize,
    mismatches: usize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} zones, {} changes, {} expressions, {} comparisons, {} mismatches",
            self.zones, self.changes, self.expressions, self.comparisons, self.mismatches
        )
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        // Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

// Zones.

struct Zone {
    name: String,
    zone: TimeZone,
    changes: Vec<i64>,
}

/// One zone of each kind of history.
fn zones() -> Vec<Zone> {
    let [begin, end]: [Timestamp; 2] =
        ["1970-01-02T00:00:00Z", "2040-01-01T00:00:00Z"].map(|at| at.parse().unwrap());
    let mut seen = HashSet::new();
    let mut zones = Vec::new();
    for name in jiff::tz::db().available() {
        let name = name.as_str();
        let Ok(zone) = TimeZone::get(name) else {
            continue;
        };
        let changes = zone.following(begin).take_while(|at| at.timestamp() < end);
        let history: Vec<_> = changes
            .map(|at| (at.timestamp().as_second(), at.offset().seconds()))
            .collect();
        let mut offset = zone.to_offset(begin).seconds();
        if !seen.insert((offset, history.clone())) {
            continue;
        }
        let mut changes = Vec::new();
        for (at, after) in history {
            if offset != after {
                changes.push(at);
            }
            offset = after;
        }
        if !changes.is_empty() {
            let name = name.to_owned();
            zones.push(Zone {
                name,
                zone,
                changes,
            });
        }
    }
    zones.sort_by(|a, b| a.name.cmp(&b.name));
    zones
}

// Expressions.

#[derive(Clone)]
struct Field {
    text: String,
    /// Bits.
    values: u64,
}

impl Field {
    fn star(range: Range<i64>) -> Self {
        Self::new("*", range)
    }

    fn new(text: &str, values: impl IntoIterator<Item = i64>) -> Self {
        let values = values.into_iter().fold(0, |set, value| set | 1 << value);
        let text = text.to_owned();
        Self { text, values }
    }

    /// A random one.
    fn random(random: &mut Random, range: Range<i64>) -> Self {
        let length = usize::try_from(range.end - range.start).unwrap();
        let one = |random: &mut Random| range.start + random.below(length) as i64;
        let item = |random: &mut Random| match random.below(5) {
            0 | 1 => {
                let value = one(random);
                (format!("{value}"), vec![value])
            }
            2 => {
                let step = 1 + random.below(length / 2);
                let text = format!("*/{step}");
                (text, range.clone().step_by(step).collect())
            }
            kind => {
                let (a, b) = (one(random), one(random));
                let (low, high) = (a.min(b), a.max(b));
                let step = if kind == 3 { 1 } else { 1 + random.below(6) };
                let slash = if step == 1 {
                    String::new()
                } else {
                    format!("/{step}")
                };
                let text = format!("{low}-{high}{slash}");
                (text, (low..=high).step_by(step).collect())
            }
        };
        let items = random.of(&[1, 1, 1, 2, 3]);
        let (texts, values): (Vec<_>, Vec<_>) = (0..items).map(|_| item(random)).unzip();
        Self::new(&texts.join(","), values.into_iter().flatten())
    }

    fn has(&self, value: i64) -> bool {
        self.values & (1 << value) != 0
    }

    fn has_star(&self) -> bool {
        self.text.contains('*')
    }

    fn is_single(&self) -> bool {
        self.values.count_ones() == 1 && !self.has_star()
    }
}

struct Expression {
    text: String,
    minute: Field,
    hour: Field,
    day: Field,
    month: Field,
    weekday: Field,
}

impl Expression {
    fn new(minute: Field, hour: Field, day: Field, month: Field, weekday: Field) -> Self {
        let texts = [&minute, &hour, &day, &month, &weekday].map(|field| field.text.as_str());
        Self {
            text: texts.join(" "),
            minute,
            hour,
            day,
            month,
            weekday,
        }
    }

    fn cron(&self, zone: &Zone) -> Cron {
        Cron::parse(&self.text, &zone.name).unwrap()
    }

    /// Whether it runs once on each of its days.
    fn is_once(&self) -> bool {
        self.minute.is_single() && self.hour.is_single()
    }

    fn has_time(&self, minute: i64) -> bool {
        self.minute.has(minute % 60) && self.hour.has(minute / 60)
    }

    /// Whether it runs on the day with this number since 1970.
    fn has_day(&self, number: i64) -> bool {
        let date = Timestamp::from_second(number * DAY).unwrap();
        let date = Offset::UTC.to_datetime(date).date();
        let weekday = match date.weekday() {
            Weekday::Sunday => 0,
            other => other.to_monday_one_offset().into(),
        };
        let day = self.day.has(date.day().into());
        let weekday = self.weekday.has(weekday);
        let both = self.day.text.starts_with('*') || self.weekday.text.starts_with('*');
        let is_day = if both { day && weekday } else { day || weekday };
        is_day && self.month.has(date.month().into())
    }
}

/// A few hundred: each hour and half hour of the day, and random ones.
fn expressions() -> Vec<Expression> {
    let mut random = Random(SEED);
    let stars = || {
        let [day, month, weekday] = [1..32, 1..13, 0..7].map(Field::star);
        (day, month, weekday)
    };
    let mut expressions = Vec::new();
    for hour in 0..24 {
        for minute in [0, 1, 30, 59] {
            let (day, month, weekday) = stars();
            let [minute, hour] = [minute, hour].map(|n: i64| Field::new(&n.to_string(), [n]));
            expressions.push(Expression::new(minute, hour, day, month, weekday));
        }
    }
    for step in [1, 7, 20, 30] {
        let minute = Field::new(&format!("*/{step}"), (0..60).step_by(step));
        for hour in [
            Field::star(0..24),
            Field::new("*/2", (0..24).step_by(2)),
            Field::new("0-3,22,23", [0, 1, 2, 3, 22, 23]),
        ] {
            let (day, month, weekday) = stars();
            expressions.push(Expression::new(minute.clone(), hour, day, month, weekday));
        }
    }
    while expressions.len() < 300 {
        let (mut day, mut month, mut weekday) = stars();
        if random.below(3) == 0 {
            day = Field::random(&mut random, 1..32);
        }
        if random.below(6) == 0 {
            month = Field::random(&mut random, 1..13);
        }
        if random.below(3) == 0 {
            weekday = Field::random(&mut random, 0..7);
        }
        let mut time = |range: Range<i64>| match random.below(2) {
            0 => {
                let value = range.start + random.below((range.end - range.start) as usize) as i64;
                Field::new(&value.to_string(), [value])
            }
            _ => Field::random(&mut random, range),
        };
        let (minute, hour) = (time(0..60), time(0..24));
        expressions.push(Expression::new(minute, hour, day, month, weekday));
    }
    expressions
}

// What happens around a change.

/// What the wall clock does at an instant, in minutes of UTC since 1970.
enum Event {
    /// It begins a minute.
    Minute { wall: i64, is_repeated: bool },
    /// It leaps over the beginnings of these minutes.
    Gap(Range<i64>),
}

struct Around<'a> {
    zone: &'a Zone,
    window: Range<i64>,
    events: Vec<(i64, Event)>,
}

impl<'a> Around<'a> {
    fn new(zone: &'a Zone, change: i64) -> Self {
        let offset = |instant| {
            let instant = Timestamp::from_second(instant).unwrap();
            i64::from(zone.zone.to_offset(instant).seconds())
        };
        let window = change - FAR..change + FAR;
        let mut events = Vec::new();
        let mut shown = HashSet::new();
        let mut before = offset(window.start - FAR);
        // Earlier than the window, so that it knows which minutes there are repeated.
        let mut instant = window.start - FAR;
        while instant < window.end {
            let after = offset(instant);
            let (was, is) = (instant + before, instant + after);
            if was < is {
                let first = was.div_euclid(60) + i64::from(was.rem_euclid(60) > 0);
                let end = is.div_euclid(60) + i64::from(is.rem_euclid(60) > 0);
                events.push((instant, Event::Gap(first..end)));
            }
            before = after;
            if is.rem_euclid(60) == 0 {
                let wall = is.div_euclid(60);
                let is_repeated = !shown.insert(wall);
                events.push((instant, Event::Minute { wall, is_repeated }));
            }
            // To the next minute of the wall clock, or to the second of a change before it.
            let next = instant + 60 - is.rem_euclid(60);
            instant = if offset(next) == after {
                next
            } else {
                let change = (instant + 1..next).find(|instant| offset(*instant) != after);
                change.unwrap_or(next)
            };
        }
        events.retain(|(at, _)| window.contains(at));
        Self {
            zone,
            window,
            events,
        }
    }

    /// The times in the window.
    fn expected(&self, expression: &Expression) -> Vec<i64> {
        let mut days = BTreeMap::new();
        let mut matches = |wall: i64| {
            expression.has_time(wall.rem_euclid(24 * 60)) && {
                let day = wall.div_euclid(24 * 60);
                *days.entry(day).or_insert_with(|| expression.has_day(day))
            }
        };
        let is_once = expression.is_once();
        let mut times: Vec<_> = self
            .events
            .iter()
            .filter(|(_, event)| match event {
                Event::Minute { wall, is_repeated } => !(is_once && *is_repeated) && matches(*wall),
                Event::Gap(gap) => is_once && gap.clone().any(&mut matches),
            })
            .map(|(at, _)| *at)
            .collect();
        times.dedup();
        times
    }

    fn compare(
        &self,
        expression: &Expression,
        cron: &Cron,
        random: &mut Random,
        counts: &mut Counts,
    ) {
        let expected = self.expected(expression);
        let end = self.window.end;
        let mut ask = |from: i64| {
            let next = cron.next_after(system_time(from)).map(seconds);
            let next = next.filter(|next| *next < end);
            let following = expected.partition_point(|at| *at <= from);
            let right = expected.get(following).copied();
            counts.comparisons += 1;
            if next != right {
                counts.mismatches += 1;
                let [next, right] = [next, right].map(|at| self.shown(at));
                let from = self.shown(Some(from));
                let (text, zone) = (&expression.text, &self.zone.name);
                eprintln!("`{text}` in {zone} after {from}: {next}, and not {right}");
            }
        };
        ask(self.window.start - 1);
        if expected.len() <= 100 {
            expected.iter().for_each(|at| ask(*at));
        }
        let length = usize::try_from(self.window.end - self.window.start).unwrap();
        for _ in 0..10 {
            ask(self.window.start + random.below(length) as i64);
        }
    }

    fn shown(&self, at: Option<i64>) -> String {
        let at = at.map(|at| Timestamp::from_second(at).unwrap());
        at.map_or("none".to_owned(), |at| {
            at.to_zoned(self.zone.zone.clone()).to_string()
        })
    }
}

fn system_time(instant: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(instant).unwrap_or(0))
}

fn seconds(time: SystemTime) -> i64 {
    let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(time.as_secs()).unwrap()
}
