//! Cron: the calendar by vectors, what is refused, and schedules that go by the time of day.

use crate::every::step;
use crate::manual::{HOUR, Manual, NS, S, until};
use crate::support::must_recv;
use millhand::error::Rejection;
use millhand::schedule::{Missed, OnPanic, Overlap, Schedule};
use millhand::{Cron, Shutdown};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A moment, written with its offset from UTC.
fn at(moment: &str) -> SystemTime {
    let moment: jiff::Timestamp = moment
        .parse()
        .unwrap_or_else(|error| panic!("{moment}: {error}"));
    moment.into()
}

fn shown(moment: Option<SystemTime>, zone: &str) -> String {
    let Some(moment) = moment else {
        return "none".to_owned();
    };
    let moment = jiff::Timestamp::try_from(moment).unwrap();
    let zoned = moment.to_zoned(jiff::tz::TimeZone::get(zone).unwrap());
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// Expression, zone, and a moment with the times that follow it.
type Vector = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

fn check(vectors: &[Vector]) {
    for (expression, zone, after, expected) in vectors {
        let cron = Cron::parse(expression, zone).unwrap_or_else(|error| panic!("{error}"));
        let mut time = at(after);
        for expected in *expected {
            let next = cron.next_after(time);
            let told = format!("`{expression}` in {zone} after {}", shown(Some(time), zone));
            if *expected == "none" {
                assert_eq!(next, None, "{told}");
                break;
            }
            assert_eq!(shown(next, zone), *expected, "{told}");
            assert_eq!(next, Some(at(expected)), "{told}");
            time = at(expected);
        }
    }
}

#[test]
fn new_york_goes_forward() {
    check(&[
        (
            "30 2 * * *",
            NEW_YORK,
            "2024-03-09T00:00:00-05:00",
            &[
                "2024-03-09T02:30:00-05:00",
                "2024-03-10T03:00:00-04:00", // the first moment after the gap
                "2024-03-11T02:30:00-04:00",
            ],
        ),
        (
            "0 2 * * *",
            NEW_YORK,
            "2024-03-10T00:00:00-05:00",
            &["2024-03-10T03:00:00-04:00", "2024-03-11T02:00:00-04:00"],
        ),
        (
            "0 3 * * *",
            NEW_YORK,
            "2024-03-10T00:00:00-05:00",
            &["2024-03-10T03:00:00-04:00", "2024-03-11T03:00:00-04:00"],
        ),
        (
            "59 1 * * *",
            NEW_YORK,
            "2024-03-10T00:00:00-05:00",
            &["2024-03-10T01:59:00-05:00", "2024-03-11T01:59:00-04:00"],
        ),
        (
            "*/30 * * * *",
            NEW_YORK,
            "2024-03-10T01:00:00-05:00",
            &[
                "2024-03-10T01:30:00-05:00",
                "2024-03-10T03:00:00-04:00",
                "2024-03-10T03:30:00-04:00",
            ],
        ),
        (
            "0 * * * *",
            NEW_YORK,
            "2024-03-10T00:30:00-05:00",
            &[
                "2024-03-10T01:00:00-05:00",
                "2024-03-10T03:00:00-04:00",
                "2024-03-10T04:00:00-04:00",
            ],
        ),
        (
            "*/20 2 * * *",
            NEW_YORK,
            "2024-03-09T23:00:00-05:00",
            &[
                "2024-03-11T02:00:00-04:00", // left out on the tenth
            ],
        ),
        (
            "15 2,3 * * *",
            NEW_YORK,
            "2024-03-10T00:00:00-05:00",
            &["2024-03-10T03:15:00-04:00", "2024-03-11T02:15:00-04:00"],
        ),
    ]);
}

#[test]
fn new_york_goes_back() {
    check(&[
        (
            "30 1 * * *",
            NEW_YORK,
            "2024-11-02T12:00:00-04:00",
            &[
                "2024-11-03T01:30:00-04:00", // the first of two
                "2024-11-04T01:30:00-05:00",
            ],
        ),
        (
            "30 1 * * *",
            NEW_YORK,
            "2024-11-03T01:45:00-04:00",
            &["2024-11-04T01:30:00-05:00"],
        ),
        (
            "30 1 * * *",
            NEW_YORK,
            "2024-11-03T01:10:00-05:00",
            &["2024-11-04T01:30:00-05:00"],
        ),
        (
            "*/30 1 * * *",
            NEW_YORK,
            "2024-11-03T00:00:00-04:00",
            &[
                "2024-11-03T01:00:00-04:00",
                "2024-11-03T01:30:00-04:00",
                "2024-11-03T01:00:00-05:00",
                "2024-11-03T01:30:00-05:00",
                "2024-11-04T01:00:00-05:00",
            ],
        ),
        (
            "0 * * * *",
            NEW_YORK,
            "2024-11-03T00:30:00-04:00",
            &[
                "2024-11-03T01:00:00-04:00",
                "2024-11-03T01:00:00-05:00",
                "2024-11-03T02:00:00-05:00",
            ],
        ),
        (
            "30 * * * *",
            NEW_YORK,
            "2024-11-03T01:10:00-05:00",
            &["2024-11-03T01:30:00-05:00"],
        ),
        (
            "0 2 * * *",
            NEW_YORK,
            "2024-11-03T00:00:00-04:00",
            &["2024-11-03T02:00:00-05:00"],
        ),
    ]);
}

#[test]
fn berlin_goes_forward_and_back() {
    check(&[
        (
            "30 2 * * *",
            BERLIN,
            "2024-03-30T12:00:00+01:00",
            &["2024-03-31T03:00:00+02:00", "2024-04-01T02:30:00+02:00"],
        ),
        (
            "*/15 2 * * *",
            BERLIN,
            "2024-03-30T23:00:00+01:00",
            &["2024-04-01T02:00:00+02:00"],
        ),
        (
            "59 1 * * *",
            BERLIN,
            "2024-03-31T00:00:00+01:00",
            &["2024-03-31T01:59:00+01:00"],
        ),
        (
            "30 2 * * *",
            BERLIN,
            "2024-10-26T12:00:00+02:00",
            &["2024-10-27T02:30:00+02:00", "2024-10-28T02:30:00+01:00"],
        ),
        (
            "*/30 2 * * *",
            BERLIN,
            "2024-10-27T00:00:00+02:00",
            &[
                "2024-10-27T02:00:00+02:00",
                "2024-10-27T02:30:00+02:00",
                "2024-10-27T02:00:00+01:00",
                "2024-10-27T02:30:00+01:00",
                "2024-10-28T02:00:00+01:00",
            ],
        ),
        (
            "*/15 9-17 * * MON-FRI",
            BERLIN,
            "2024-03-29T17:30:00+01:00",
            &[
                "2024-03-29T17:45:00+01:00",
                "2024-04-01T09:00:00+02:00",
                "2024-04-01T09:15:00+02:00",
            ],
        ),
        (
            "0 12 31 3 *",
            BERLIN,
            "2023-12-31T00:00:00+01:00",
            &["2024-03-31T12:00:00+02:00"],
        ),
    ]);
}

#[test]
fn lord_howe_goes_by_half_an_hour() {
    check(&[
        (
            "15 2 * * *",
            LORD_HOWE,
            "2024-10-05T12:00:00+10:30",
            &["2024-10-06T02:30:00+11:00", "2024-10-07T02:15:00+11:00"],
        ),
        (
            "*/15 * * * *",
            LORD_HOWE,
            "2024-10-06T01:45:00+10:30",
            &["2024-10-06T02:30:00+11:00", "2024-10-06T02:45:00+11:00"],
        ),
        (
            "45 1 * * *",
            LORD_HOWE,
            "2024-04-06T12:00:00+11:00",
            &["2024-04-07T01:45:00+11:00", "2024-04-08T01:45:00+10:30"],
        ),
        (
            "*/15 1 * * *",
            LORD_HOWE,
            "2024-04-07T01:15:00+11:00",
            &[
                "2024-04-07T01:30:00+11:00",
                "2024-04-07T01:45:00+11:00",
                "2024-04-07T01:30:00+10:30",
                "2024-04-07T01:45:00+10:30",
                "2024-04-08T01:00:00+10:30",
            ],
        ),
    ]);
}

#[test]
fn midnights_that_are_left_out_or_come_twice() {
    check(&[
        (
            "0 0 * * *",
            SAO_PAULO,
            "2018-11-03T12:00:00-03:00",
            &["2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"],
        ),
        (
            "30 0 * * *",
            SAO_PAULO,
            "2018-11-03T12:00:00-03:00",
            &["2018-11-04T01:00:00-02:00"],
        ),
        (
            "@daily",
            SAO_PAULO,
            "2018-11-03T12:00:00-03:00",
            &["2018-11-04T01:00:00-02:00"],
        ),
        (
            "0 0 * * SUN",
            SAO_PAULO,
            "2018-11-01T00:00:00-03:00",
            &["2018-11-04T01:00:00-02:00", "2018-11-11T00:00:00-02:00"],
        ),
        (
            "*/30 * * * *",
            SAO_PAULO,
            "2018-11-03T23:00:00-03:00",
            &["2018-11-03T23:30:00-03:00", "2018-11-04T01:00:00-02:00"],
        ),
        (
            "30 23 * * *",
            SAO_PAULO,
            "2018-02-17T12:00:00-02:00",
            &["2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"],
        ),
        (
            "0 * * * *",
            SAO_PAULO,
            "2018-02-17T22:30:00-02:00",
            &[
                "2018-02-17T23:00:00-02:00",
                "2018-02-17T23:00:00-03:00",
                "2018-02-18T00:00:00-03:00",
            ],
        ),
        (
            "0 0 * * *",
            "America/Havana",
            "2024-03-09T12:00:00-05:00",
            &["2024-03-10T01:00:00-04:00"],
        ),
        (
            "0 0 * * *",
            "Asia/Beirut",
            "2024-03-30T12:00:00+02:00",
            &["2024-03-31T01:00:00+03:00"],
        ),
    ]);
}

#[test]
fn other_zones() {
    check(&[
        (
            "0 9 * * *",
            "Asia/Kolkata",
            "2024-01-01T00:00:00Z",
            &["2024-01-01T09:00:00+05:30"],
        ),
        (
            "0 9 * * *",
            "Asia/Kathmandu",
            "2024-01-01T00:00:00Z",
            &["2024-01-01T09:00:00+05:45"],
        ),
        (
            "30 2 * * *",
            "Pacific/Auckland",
            "2024-09-28T12:00:00+12:00",
            &["2024-09-29T03:00:00+13:00"],
        ),
        (
            "30 1 * * *",
            "Antarctica/Troll",
            "2024-03-30T12:00:00+00:00",
            &["2024-03-31T03:00:00+02:00"],
        ),
        (
            "0 1 * * *",
            "Antarctica/Troll",
            "2024-03-30T12:00:00+00:00",
            &["2024-03-31T03:00:00+02:00"],
        ),
        (
            "0 0 * * *",
            "utc",
            "2024-01-01T00:00:00Z",
            &["2024-01-02T00:00:00+00:00"],
        ),
    ]);
}

#[test]
fn days_of_the_month() {
    check(&[
        (
            "0 0 29 2 *",
            UTC,
            "2023-01-01T00:00:00Z",
            &["2024-02-29T00:00:00+00:00", "2028-02-29T00:00:00+00:00"],
        ),
        (
            "0 0 29 2 *",
            UTC,
            "2096-03-01T00:00:00Z",
            &["2104-02-29T00:00:00+00:00"],
        ),
        (
            "0 0 30 * *",
            UTC,
            "2024-01-31T00:00:00Z",
            &["2024-03-30T00:00:00+00:00"],
        ),
        (
            "0 0 L * *",
            UTC,
            "2024-01-01T00:00:00Z",
            &[
                "2024-01-31T00:00:00+00:00",
                "2024-02-29T00:00:00+00:00",
                "2024-03-31T00:00:00+00:00",
                "2024-04-30T00:00:00+00:00",
            ],
        ),
        (
            "0 0 L 2 *",
            UTC,
            "2023-01-01T00:00:00Z",
            &["2023-02-28T00:00:00+00:00", "2024-02-29T00:00:00+00:00"],
        ),
        (
            "0 0 1,L * *",
            UTC,
            "2024-01-02T00:00:00Z",
            &["2024-01-31T00:00:00+00:00", "2024-02-01T00:00:00+00:00"],
        ),
        (
            "0 0 15W * *",
            UTC,
            "2024-06-01T00:00:00Z",
            &[
                "2024-06-14T00:00:00+00:00", // the 15th is a Saturday
                "2024-07-15T00:00:00+00:00",
            ],
        ),
        (
            "0 0 15w 9 *",
            UTC,
            "2024-06-01T00:00:00Z",
            &["2024-09-16T00:00:00+00:00"],
        ), // a Sunday
        (
            "0 0 1W * *",
            UTC,
            "2024-05-31T00:00:00Z",
            &["2024-06-03T00:00:00+00:00"],
        ), // not in May
        (
            "0 0 31W * *",
            UTC,
            "2024-03-01T00:00:00Z",
            &[
                "2024-03-29T00:00:00+00:00", // a Sunday, and April is not for it
                "2024-05-31T00:00:00+00:00",
            ],
        ),
        (
            "0 0 LW * *",
            UTC,
            "2024-03-01T00:00:00Z",
            &[
                "2024-03-29T00:00:00+00:00",
                "2024-04-30T00:00:00+00:00",
                "2024-05-31T00:00:00+00:00",
                "2024-06-28T00:00:00+00:00",
            ],
        ),
    ]);
}

#[test]
fn days_of_the_week() {
    check(&[
        (
            "0 0 * * 0",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-07T00:00:00+00:00"],
        ),
        (
            "0 0 * * 7",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-07T00:00:00+00:00"],
        ),
        (
            "0 0 * * sat-sun",
            UTC,
            "2024-01-01T00:00:00Z",
            &[
                "2024-01-06T00:00:00+00:00",
                "2024-01-07T00:00:00+00:00",
                "2024-01-13T00:00:00+00:00",
            ],
        ),
        (
            "0 0 * * MON#2",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-08T00:00:00+00:00", "2024-02-12T00:00:00+00:00"],
        ),
        (
            "0 0 * * FRI#5",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-03-29T00:00:00+00:00", "2024-05-31T00:00:00+00:00"],
        ),
        (
            "0 0 * * 7#1",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-07T00:00:00+00:00"],
        ),
        (
            "0 0 * * 5L",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-26T00:00:00+00:00", "2024-02-23T00:00:00+00:00"],
        ),
        (
            "0 0 * * FRIL",
            UTC,
            "2024-01-27T00:00:00Z",
            &["2024-02-23T00:00:00+00:00"],
        ),
        (
            "0 0 ? * MON",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-08T00:00:00+00:00"],
        ),
    ]);
}

#[test]
fn both_day_fields() {
    check(&[
        (
            "0 0 13 * FRI",
            UTC,
            "2024-10-04T00:00:00Z",
            &[
                "2024-10-11T00:00:00+00:00",
                "2024-10-13T00:00:00+00:00",
                "2024-10-18T00:00:00+00:00",
            ],
        ),
        (
            "0 0 1,15 * MON",
            UTC,
            "2024-01-31T00:00:00Z",
            &["2024-02-01T00:00:00+00:00", "2024-02-05T00:00:00+00:00"],
        ),
        (
            "0 0 13 * +FRI",
            UTC,
            "2024-01-01T00:00:00Z",
            &[
                "2024-09-13T00:00:00+00:00",
                "2024-12-13T00:00:00+00:00",
                "2025-06-13T00:00:00+00:00",
            ],
        ),
        (
            "0 0 29 2 +MON",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2044-02-29T00:00:00+00:00"],
        ),
    ]);
}

#[test]
fn a_step_beside_a_weekday_was_taken_for_a_second_choice_of_days() {
    check(&[
        // The Saturdays with an odd date.
        (
            "0 16 */2 * SAT",
            UTC,
            "2023-05-01T17:00:00Z",
            &["2023-05-13T16:00:00+00:00", "2023-05-27T16:00:00+00:00"],
        ),
        (
            "0 16 ?/2 * SAT",
            UTC,
            "2023-05-01T17:00:00Z",
            &["2023-05-13T16:00:00+00:00"],
        ),
        (
            "0 0 16 */2 * SAT 2023",
            UTC,
            "2023-05-01T17:00:00Z",
            &["2023-05-13T16:00:00+00:00"],
        ),
        // The 13ths that are a Sunday, a Wednesday or a Saturday.
        (
            "0 0 13 * */3",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-13T00:00:00+00:00", "2024-03-13T00:00:00+00:00"],
        ),
        (
            "0 0 13 * *",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-13T00:00:00+00:00", "2024-02-13T00:00:00+00:00"],
        ),
        (
            "0 0 */10 * */3",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-21T00:00:00+00:00", "2024-01-31T00:00:00+00:00"],
        ),
        // Without a star at the beginning it is one or the other.
        (
            "0 0 1-31/10 * SAT",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-06T00:00:00+00:00", "2024-01-11T00:00:00+00:00"],
        ),
    ]);
}

#[test]
fn a_time_in_a_gap_that_ends_at_midnight_skipped_its_day() {
    check(&[
        // Saturday 28 March 2026 ends at 23:00 there.
        (
            "30 23 * * SAT",
            "America/Nuuk",
            "2026-03-25T00:00:00Z",
            &["2026-03-29T00:00:00-01:00", "2026-04-04T23:30:00-01:00"],
        ),
        (
            "30 23 28 3 *",
            "America/Nuuk",
            "2026-03-25T00:00:00Z",
            &["2026-03-29T00:00:00-01:00", "2027-03-28T23:30:00-01:00"],
        ),
        (
            "30 23 31 3 *",
            "America/Nuuk",
            "2023-03-25T00:00:00Z",
            &["2023-03-31T23:30:00-02:00"],
        ),
        (
            "*/30 23 * * SAT",
            "America/Nuuk",
            "2026-03-25T00:00:00Z",
            &["2026-04-04T23:00:00-01:00"],
        ),
    ]);
}

#[test]
fn a_gap_of_more_than_two_hours_ended_a_schedule() {
    check(&[
        // From 00:01 to 03:01.
        (
            "0 1 * * *",
            "Antarctica/Casey",
            "2022-10-01T14:30:00Z",
            &["2022-10-02T03:01:00+11:00", "2022-10-03T01:00:00+11:00"],
        ),
        (
            "* * * * *",
            "Antarctica/Casey",
            "2022-10-01T15:59:30Z",
            &["2022-10-02T00:00:00+08:00", "2022-10-02T03:01:00+11:00"],
        ),
        // All of 30 December.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T08:00:00-10:00",
            &[
                "2011-12-29T09:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2011-12-31T09:00:00+14:00",
            ],
        ),
        (
            "0 9 30 12 *",
            "Pacific/Apia",
            "2011-12-29T08:00:00-10:00",
            &["2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"],
        ),
        (
            "0 */6 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00:00-10:00",
            &[
                "2011-12-29T18:00:00-10:00",
                "2011-12-31T00:00:00+14:00",
                "2011-12-31T06:00:00+14:00",
            ],
        ),
        // Backward by a day, in Kwajalein forward by a day.
        (
            "0 12 * * *",
            "Pacific/Kwajalein",
            "1993-08-20T00:00:00-12:00",
            &["1993-08-20T12:00:00-12:00", "1993-08-22T00:00:00+12:00"],
        ),
    ]);
}

#[test]
fn a_schedule_goes_on_through_a_gap_of_three_hours() {
    let pool = pool_at("2022-10-01T14:30:00Z");
    let rule = cron("0 1 * * *", "Antarctica/Casey");
    let schedule = pool.task().cron(rule).run(|| ()).unwrap();
    turn_to(&pool, "2022-10-02T03:01:00+11:00");
    assert_eq!((tally(&schedule), schedule.end_reason()), ((1, 0), None));
    assert_eq!(schedule.next_run(), Some(at("2022-10-03T01:00:00+11:00")));
}

#[test]
fn fields_lists_ranges_steps_and_nicknames() {
    check(&[
        (
            "59 23 31 12 *",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-12-31T23:59:00+00:00", "2025-12-31T23:59:00+00:00"],
        ),
        (
            "0 12 1 JAN,jul *",
            UTC,
            "2024-01-02T00:00:00Z",
            &["2024-07-01T12:00:00+00:00", "2025-01-01T12:00:00+00:00"],
        ),
        (
            "0 0 1 */3 *",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-04-01T00:00:00+00:00"],
        ),
        (
            "5-10/2 0 * * *",
            UTC,
            "2024-01-01T00:05:00Z",
            &[
                "2024-01-01T00:07:00+00:00",
                "2024-01-01T00:09:00+00:00",
                "2024-01-02T00:05:00+00:00",
            ],
        ),
        (
            "0 0-23/8 * * *",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-01T08:00:00+00:00", "2024-01-01T16:00:00+00:00"],
        ),
        (
            "30 */10 * * * *",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-01T00:00:30+00:00", "2024-01-01T00:10:30+00:00"],
        ),
        (
            "*/15 * * * * *",
            UTC,
            "2024-01-01T00:00:45Z",
            &["2024-01-01T00:01:00+00:00"],
        ),
        (
            "0 0 0 1 1 * 2030",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2030-01-01T00:00:00+00:00", "none"],
        ),
        (
            "0 0 0 29 2 * 2020-2029",
            UTC,
            "2024-03-01T00:00:00Z",
            &["2028-02-29T00:00:00+00:00", "none"],
        ),
        (
            " 0\t0  * * * ",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-02T00:00:00+00:00"],
        ),
        (
            "@hourly",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-01T01:00:00+00:00"],
        ),
        (
            "@Weekly",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-01-07T00:00:00+00:00"],
        ),
        (
            "@monthly",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2024-02-01T00:00:00+00:00"],
        ),
        (
            "@yearly",
            UTC,
            "2024-01-01T00:00:00Z",
            &["2025-01-01T00:00:00+00:00"],
        ),
        (
            "@annually",
            UTC,
            "2024-06-01T00:00:00Z",
            &["2025-01-01T00:00:00+00:00"],
        ),
        // After, and not at: with fractions of a second, too.
        (
            "* * * * *",
            UTC,
            "2024-01-01T00:00:59.999999999Z",
            &["2024-01-01T00:01:00+00:00"],
        ),
        (
            "* * * * *",
            UTC,
            "2024-01-01T00:01:00.000000001Z",
            &["2024-01-01T00:02:00+00:00"],
        ),
    ]);
}

const NEW_YORK: &str = "America/New_York";
const BERLIN: &str = "Europe/Berlin";
const LORD_HOWE: &str = "Australia/Lord_Howe";
const SAO_PAULO: &str = "America/Sao_Paulo";
const UTC: &str = "UTC";

#[test]
fn what_is_refused_is_named_with_its_place_and_what_is_allowed() {
    let table = [
        // expression, position, the item, and what the field is
        ("61 * * * *", 0, "61", "minute: allowed are 0-59"),
        ("0 24 * * *", 2, "24", "hour: allowed are 0-23"),
        ("0 0 32 * *", 4, "32", "day of the month: allowed are 1-31"),
        ("0 0 0 * *", 4, "0", "day of the month"),
        ("0 0 * 13 *", 6, "13", "month: allowed are 1-12, JAN-DEC"),
        ("0 0 * * 8", 8, "8", "day of the week: allowed are 0-7"),
        ("60 0 0 * * *", 0, "60", "second: allowed are 0-59"),
        ("0 0 0 1 1 * 9999", 12, "9999", "year"),
        ("0,15,75,30 * * * *", 5, "75", "minute"),
        ("0 9-17,99 * * *", 7, "99", "hour"),
        ("0 0 * * FRI-MON", 8, "FRI-MON", "day of the week"),
        ("0 17-9 * * *", 2, "17-9", "hour"),
        ("0 0 * * MON-FRY", 8, "MON-FRY", "day of the week"),
        ("0 0 * * JAN", 8, "JAN", "day of the week"), // croner takes it for Monday
        ("0 0 * MON *", 6, "MON", "month"),
        ("1SUN * * * *", 0, "1SUN", "minute"), // for minute 10
        ("0 0 * 1JAN *", 6, "1JAN", "month"),
        ("0 0 * JAN1 *", 6, "JAN1", "month"),
        ("0 0 * * MONDAY", 8, "MONDAY", "day of the week"),
        ("0 0 * * L", 8, "L", "day of the week"),
        ("0 0 * * MON#6", 8, "MON#6", "day of the week"),
        ("0 0 5L * *", 4, "5L", "day of the month"),
        ("0 0 W * *", 4, "W", "day of the month"),
        ("L * * * *", 0, "L", "minute"),
        ("*/0 * * * *", 0, "*/0", "minute"),
        ("0/5 * * * *", 0, "0/5", "minute"),
        ("1,,2 * * * *", 2, "", "minute"),
        ("1- * * * *", 0, "1-", "minute"),
        ("? * * * *", 0, "?", "minute"),
        ("  0 0 * * x", 10, "x", "day of the week"),
        ("0 0 ０ * *", 4, "０", "day of the month"),
        ("-1 * * * *", 0, "-1", "minute"),
        ("0 16 *,1 * SAT", 5, "*,1", "day of the month"), // "0" is no minute, it said
        ("0 0 1,* * MON", 4, "1,*", "day of the month"),
        (
            "0,1 8-17 */2,* JAN-MAR,7 MON",
            9,
            "*/2,*",
            "day of the month",
        ),
        ("30 0 16 * * SAT,*", 12, "SAT,*", "day of the week"),
        ("0 0 * * +", 8, "+", "day of the week"),
        ("0 0 * * +FRY", 9, "FRY", "day of the week"),
        ("0 0 * * +MON,9", 13, "9", "day of the week"),
        ("0 0 * * MON,+TUE", 12, "+TUE", "day of the week"),
        ("0 0 L,LW * *", 4, "L,LW", "day of the month"), // for LW
        ("0 0 * JAN-13 *", 6, "JAN-13", "month"),
        ("0 0 * FEB-JAN *", 6, "FEB-JAN", "month"),
        ("0 0 * */13x *", 6, "*/13x", "month"),
        ("0 1-2-3 * * *", 2, "1-2-3", "hour"),
        ("0 1/2/3 * * *", 2, "1/2/3", "hour"),
        ("0 /3 * * *", 2, "/3", "hour"),
        ("0 5-30/5 * * *", 2, "5-30/5", "hour"),
        ("0 0 0 1 1 * 2030-2029", 12, "2030-2029", "year"),
        ("0 0 0 1 1 * *,2029", 12, "*,2029", "year"),
    ];
    for (expression, position, item, field) in table {
        let error = Cron::parse(expression, UTC).expect_err(expression);
        assert_eq!(error.position(), Some(position), "{error}");
        let text = error.to_string();
        let named = format!(
            "cron expression `{expression}`: `{item}` at position {position} is no {field}"
        );
        assert!(text.starts_with(&named), "{text}\n{named}");
        assert!(text.contains("allowed are "), "{text}");
    }
}

#[test]
fn expressions_that_are_wrong_as_a_whole() {
    let fields = "allowed are 5 (minute, hour, day of the month, month, day of the week), 6";
    let nicknames = "allowed are @yearly, @annually, @monthly, @weekly, @daily and @hourly";
    let table = [
        ("", "has 0 fields", fields),
        ("* * * *", "has 4 fields", fields),
        ("* * * * * * * *", "has 8 fields", fields),
        ("@reboot", "is no nickname at position 0", nicknames),
        (" @every 5m", "is no nickname at position 1", nicknames),
        ("0 0 30 2 *", "never fires", "there must be a day"),
        ("0 0 31 2,4,6,9,11 *", "never fires", "there must be a day"),
        ("0 0 30W 2 *", "never fires", "there must be a day"),
        ("0 0 31 * +MON#1", "never fires", "there must be a day"),
        ("0 0 0 29 2 * 2026", "never fires", "there must be a day"),
        ("0 0 0 1 1 * 1969", "never fires", "from 1970 on"),
    ];
    for (expression, what, allowed) in table {
        let text = Cron::parse(expression, UTC).unwrap_err().to_string();
        assert!(
            text.starts_with(&format!("cron expression `{expression}`")),
            "{text}"
        );
        assert!(text.contains(what) && text.contains(allowed), "{text}");
    }
}

#[test]
fn unknown_zones_are_refused() {
    for zone in [
        "Europe/Berln",
        "",
        "Moon/Tycho",
        "../../etc/passwd",
        "Europe",
    ] {
        let text = Cron::parse("* * * * *", zone).unwrap_err().to_string();
        let named =
            format!("unknown time zone `{zone}`: allowed are the names of the IANA database");
        assert!(text.starts_with(&named), "{text}");
    }
}

#[test]
fn plain_data() {
    let cron = || Cron::parse("0 0 * * *", BERLIN).unwrap();
    assert_eq!(cron(), cron());
    assert_ne!(cron(), cron().times(1));
    assert_ne!(cron(), Cron::parse("0 0 * * *", UTC).unwrap());
    let text = format!("{:?}", cron());
    assert!(
        text.contains("0 0 * * *") && text.contains(BERLIN),
        "{text}"
    );
}

// Schedules.

/// A pool whose clock shows a time of day.
fn pool_at(moment: &str) -> Manual {
    let pool = Manual::new(2);
    pool.clock.set_wall(at(moment));
    pool
}

fn cron(expression: &str, zone: &str) -> Cron {
    Cron::parse(expression, zone).unwrap()
}

fn wall(pool: &Manual) -> SystemTime {
    pool.clock.clock().wall()
}

/// Turns the clock to that time of day.
fn turn_to(pool: &Manual, moment: &str) {
    step(pool, at(moment).duration_since(wall(pool)).unwrap());
}

/// Runs that there were, and those that were missed.
fn tally(schedule: &Schedule) -> (u64, u64) {
    let counts = schedule.counts();
    (counts.runs, counts.misses)
}

#[test]
fn it_runs_at_its_times_of_day_through_a_change_of_clocks() {
    let pool = pool_at("2024-03-09T02:00:00-05:00");
    let (tell, told) = mpsc::channel();
    let clock = pool.clock.clock();
    let rule = cron("30 2 * * *", NEW_YORK);
    let body = move || tell.send(clock.wall()).unwrap();
    let schedule = pool.task().name("report").cron(rule).run(body).unwrap();
    let times = [
        "2024-03-09T02:30:00-05:00",
        "2024-03-10T03:00:00-04:00",
        "2024-03-11T02:30:00-04:00",
    ];
    for time in times {
        assert_eq!(schedule.next_run(), Some(at(time)));
        step(&pool, at(time).duration_since(wall(&pool)).unwrap() - NS);
        assert!(told.try_recv().is_err(), "too early");
        step(&pool, NS);
        assert_eq!(must_recv(&told), at(time));
        assert_eq!(schedule.last_run(), Some(at(time)));
    }
    assert_eq!(tally(&schedule), (3, 0));
}

#[test]
fn the_first_time_is_after_now_and_not_now() {
    let pool = pool_at("2024-01-01T00:00:00Z");
    let schedule = pool.task().cron(cron("0 * * * *", UTC)).run(|| ()).unwrap();
    assert_eq!(schedule.next_run(), Some(at("2024-01-01T01:00:00Z")));
}

#[test]
fn a_clock_that_was_set_forward_is_noticed_within_a_minute_and_one_run_stands_for_all() {
    let pool = pool_at("2024-01-01T00:30:00Z");
    let schedule = pool.task().cron(cron("0 * * * *", UTC)).run(|| ()).unwrap();
    pool.clock.set_wall(at("2024-01-01T05:30:00Z"));
    step(&pool, MINUTE - NS);
    assert_eq!(tally(&schedule), (0, 0));
    step(&pool, NS);
    assert_eq!(tally(&schedule), (1, 4));
    assert_eq!(schedule.next_run(), Some(at("2024-01-01T06:00:00Z")));
}

#[test]
fn what_a_clock_leapt_over_is_made_up_for_if_asked() {
    let pool = pool_at("2024-01-01T00:30:00Z");
    let rule = cron("0 * * * *", UTC).missed(Missed::CatchUp(2));
    let schedule = pool.task().cron(rule).run(|| ()).unwrap();
    pool.clock.set_wall(at("2024-01-01T05:30:00Z"));
    pool.advance(MINUTE);
    until("all are made up for", || tally(&schedule) == (3, 2));
}

#[test]
fn a_clock_that_was_wrong_by_decades_is_no_trouble() {
    let pool = pool_at("1970-01-01T00:00:00Z");
    let schedule = pool.task().cron(cron("* * * * *", UTC)).run(|| ()).unwrap();
    pool.clock.set_wall(at("2024-01-01T00:00:30Z"));
    step(&pool, MINUTE);
    assert_eq!(tally(&schedule), (1, 1000));
    assert_eq!(schedule.next_run(), Some(at("2024-01-01T00:02:00Z")));
}

#[test]
fn a_clock_that_was_set_back_by_hours_runs_no_fixed_time_twice() {
    let pool = pool_at("2024-01-01T00:30:00Z");
    let rule = cron("0 1,2,3 * * *", UTC);
    let schedule = pool.task().cron(rule).run(|| ()).unwrap();
    turn_to(&pool, "2024-01-01T01:00:00Z");
    turn_to(&pool, "2024-01-01T02:00:10Z");
    assert_eq!(tally(&schedule), (2, 0));
    pool.clock.set_wall(at("2024-01-01T00:50:00Z"));
    turn_to(&pool, "2024-01-01T02:59:59Z");
    assert_eq!(tally(&schedule), (2, 0));
    turn_to(&pool, "2024-01-01T03:00:00Z");
    assert_eq!(tally(&schedule), (3, 0));
}

#[test]
fn a_clock_that_was_set_back_by_much_counts() {
    for expression in ["0 * * * *", "0 4,5,6,7,8,9,10 * * *"] {
        let pool = pool_at("2024-01-01T09:30:00Z");
        let schedule = pool.task().cron(cron(expression, UTC)).run(|| ()).unwrap();
        pool.clock.set_wall(at("2024-01-01T03:30:00Z"));
        step(&pool, MINUTE);
        assert_eq!(schedule.next_run(), Some(at("2024-01-01T04:00:00Z")));
        turn_to(&pool, "2024-01-01T04:00:00Z");
        assert_eq!(tally(&schedule), (1, 0));
    }
}

#[test]
fn a_clock_that_is_slewed_back_by_a_breath_runs_nothing_twice() {
    let pool = pool_at("2024-01-01T00:59:00Z");
    let schedule = pool.task().cron(cron("0 * * * *", UTC)).run(|| ()).unwrap();
    turn_to(&pool, "2024-01-01T01:00:00Z");
    pool.clock.set_wall(at("2024-01-01T00:59:59.9Z"));
    step(&pool, S);
    step(&pool, MINUTE);
    assert_eq!(tally(&schedule), (1, 0));
}

/// How many runs there are in the hour after the clock, which shows noon, was set to `set`.
fn runs_after_a_step(expression: &str, set: &str) -> u64 {
    let pool = pool_at("2024-06-05T11:59:30Z");
    let schedule = pool.task().cron(cron(expression, UTC)).run(|| ()).unwrap();
    step(&pool, MINUTE);
    let before = tally(&schedule);
    assert_eq!(before, (1, 0), "{expression}");
    pool.clock.set_wall(at(set));
    (0..60).for_each(|_| step(&pool, MINUTE));
    tally(&schedule).0 - before.0
}

#[test]
fn a_clock_that_was_set_back_silenced_what_runs_each_minute() {
    let sets = [
        ("2024-06-05T11:59:00Z", 59..=60), // by a minute and a half
        ("2024-06-05T11:00:30Z", 59..=60),
        ("2024-06-05T10:00:30Z", 59..=60),
        ("2024-06-05T09:00:00Z", 59..=60), // by three hours and a half minute
        ("2024-06-04T12:00:00Z", 59..=60),
        ("1999-12-31T00:00:00Z", 59..=60),
        ("2024-06-05T12:10:00Z", 60..=61), // forward
        ("2024-06-05T18:00:00Z", 60..=61),
        ("2025-01-01T00:00:00Z", 60..=61),
    ];
    for (set, runs) in sets {
        for expression in ["* * * * *", "0 */1 * * * *", "*/1 0-23 * * *"] {
            let there_were = runs_after_a_step(expression, set);
            assert!(
                runs.contains(&there_were),
                "`{expression}`, set to {set}: {there_were}"
            );
        }
    }
}

#[test]
fn a_fixed_time_runs_once_whatever_the_clock_is_set_to_within_three_hours() {
    let sets = [
        ("2024-06-05T11:59:50Z", 0), // by less than a minute
        ("2024-06-05T11:30:00Z", 0),
        ("2024-06-05T11:00:00Z", 0),
        ("2024-06-05T10:30:00Z", 0),
        ("2024-06-05T09:00:30Z", 0), // by three hours
        ("2024-06-05T12:59:00Z", 0), // forward
        ("2024-06-05T18:00:00Z", 0),
        ("2024-06-06T11:30:00Z", 1), // the next day has its noon
        ("2024-06-06T12:30:00Z", 1), // which was missed
        ("2024-06-04T11:30:00Z", 1), // by a day: the clock was wrong
    ];
    for (set, runs) in sets {
        let there_were = runs_after_a_step("0 12 * * *", set);
        assert_eq!(there_were, runs, "set to {set}");
    }
}

#[test]
fn a_clock_that_was_set_back_while_a_run_was_at_work_ran_its_time_again() {
    let pool = pool_at("2024-06-05T11:59:30Z");
    let body = {
        let clock = pool.clock.clone();
        move || {
            // The time of the next run is found when the body has returned.
            clock.set_wall(at("2024-06-05T11:00:30Z"));
            Err::<Duration, _>("the rule decides")
        }
    };
    let schedule = pool.task().cron(cron("0 12 * * *", UTC)).run(body).unwrap();
    step(&pool, MINUTE);
    assert_eq!(schedule.next_run(), Some(at("2024-06-06T12:00:00Z")));
}

#[test]
fn a_delay_that_the_body_has_set_is_as_long_when_the_clock_was_set_back() {
    let pool = pool_at("2024-01-01T00:59:30Z");
    let body = || Ok::<_, String>(90 * MINUTE);
    let schedule = pool.task().cron(cron("0 * * * *", UTC)).run(body).unwrap();
    turn_to(&pool, "2024-01-01T01:00:00Z");
    pool.clock.set_wall(at("2023-12-31T23:00:00Z"));
    step(&pool, MINUTE);
    // Within the minute in which the step is noticed.
    let due = schedule.next_run().unwrap();
    let exact = at("2024-01-01T00:30:00Z");
    assert!(exact <= due && due <= exact + MINUTE, "{due:?}");
}

#[test]
fn a_machine_that_slept_catches_up_by_the_time_of_day_and_within_a_minute() {
    let pool = pool_at("2024-01-01T21:00:00Z");
    let nightly = cron("0 3 * * *", UTC);
    let once = pool.task().cron(nightly.clone()).run(|| ()).unwrap();
    let rule = nightly.missed(Missed::CatchUp(5));
    let each = pool.task().cron(rule).run(|| ()).unwrap();
    let every = pool
        .task()
        .every(millhand::Every::new(HOUR))
        .run(|| ())
        .unwrap();
    let delayed = pool.task().delay(HOUR).submit(|| ());
    // The machine sleeps for three nights: the monotonic clock stands still.
    pool.clock.set_wall(at("2024-01-04T09:00:00Z"));
    pool.turn(MINUTE);
    until("all nights are made up for", || tally(&each) == (3, 0));
    assert_eq!(tally(&once), (1, 2));
    assert_eq!(once.next_run(), Some(at("2024-01-05T03:00:00Z")));
    // What goes by the monotonic clock has not slept an hour.
    assert_eq!((tally(&every), delayed.is_finished()), ((0, 0), false));
    pool.turn(HOUR - MINUTE);
    until("an hour has passed", || {
        delayed.is_finished() && tally(&every) == (1, 0)
    });
}

#[test]
fn it_has_the_rules_of_every_schedule() {
    let pool = pool_at("2024-01-01T00:30:00Z");
    let rule = cron("0 * * * *", UTC)
        .times(3)
        .overlap(Overlap::Parallel(2))
        .on_panic(OnPanic::Stop)
        .jitter(10 * MINUTE);
    let schedule = pool.task().cron(rule).run(|| ()).unwrap();
    for hour in 1..=3 {
        let due = schedule.next_run().unwrap();
        let late = due
            .duration_since(at("2024-01-01T00:00:00Z") + hour * HOUR)
            .unwrap();
        assert!(late <= 10 * MINUTE);
        step(&pool, due.duration_since(wall(&pool)).unwrap());
    }
    assert_eq!((tally(&schedule), schedule.is_ended()), ((3, 0), true));

    let rule = cron("0 * * * *", UTC).on_panic(OnPanic::Stop);
    let schedule = pool
        .task()
        .cron(rule)
        .run(|| -> () { panic!("no") })
        .unwrap();
    step(&pool, HOUR);
    assert!(schedule.is_ended());
}

#[test]
fn jitter_reaches_no_further_than_the_next_time() {
    let pool = pool_at("2024-01-01T00:00:30Z");
    let rule = cron("* * * * *", UTC).jitter(DAY);
    let schedule = pool.task().cron(rule).run(|| ()).unwrap();
    for minute in 1..=20 {
        let due = schedule.next_run().unwrap();
        let late = due
            .duration_since(at("2024-01-01T00:00:00Z") + minute * MINUTE)
            .unwrap();
        assert!(late <= MINUTE, "{late:?}");
        step(&pool, due.duration_since(wall(&pool)).unwrap());
    }
    assert_eq!(tally(&schedule), (20, 0));
}

#[test]
fn a_pause_goes_by_the_time_of_day_too() {
    let pool = pool_at("2024-01-01T00:30:00Z");
    let schedule = pool.task().cron(cron("0 * * * *", UTC)).run(|| ()).unwrap();
    schedule.pause();
    step(&pool, 4 * HOUR);
    schedule.resume();
    assert_eq!(schedule.next_run(), Some(at("2024-01-01T05:00:00Z")));
    assert_eq!(tally(&schedule), (0, 0));
}

#[test]
fn a_body_may_put_the_next_time_off() {
    let pool = pool_at("2024-01-01T00:30:00Z");
    let rule = cron("0 * * * *", UTC);
    let schedule = pool
        .task()
        .cron(rule)
        .run(|| Ok::<_, &str>(90 * MINUTE))
        .unwrap();
    turn_to(&pool, "2024-01-01T01:00:00Z");
    assert_eq!(schedule.next_run(), Some(at("2024-01-01T02:30:00Z")));
}

#[test]
fn the_last_of_its_years_ends_it_and_then_it_is_refused() {
    let pool = pool_at("2024-12-31T23:59:59Z");
    let rule = cron("0 0 0 1 1 * 2025", UTC);
    let schedule = pool.task().cron(rule.clone()).run(|| ()).unwrap();
    step(&pool, S);
    assert_eq!((tally(&schedule), schedule.is_ended()), ((1, 0), true));
    let refused = pool.task().cron(rule).run(|| 7 * S).unwrap_err();
    assert!(matches!(refused.reason(), Rejection::Invalid(mistake) if mistake.option() == "cron"));
    assert_eq!(refused.into_inner()(), 7 * S);
    let refused = pool
        .task()
        .cron(cron("@daily", UTC).times(0))
        .run(|| ())
        .unwrap_err();
    assert!(matches!(refused.reason(), Rejection::Invalid(mistake) if mistake.option() == "times"));
}

#[test]
fn a_drain_ends_it_on_the_systems_clock_too() {
    let pool = millhand::ThreadPool::new(1).unwrap();
    let schedule = pool
        .task()
        .cron(cron("@yearly", BERLIN))
        .run(|| ())
        .unwrap();
    let next = schedule.next_run().unwrap();
    assert!(next > SystemTime::now() && next <= SystemTime::now() + 366 * DAY);
    pool.shutdown(Shutdown::drain()).unwrap();
    assert!(schedule.is_ended());
}
