//! Parsers of arguments, for `value_parser` of clap.

use std::time::Duration;

/// Parses a number of seconds, such as `10` or `0.5`.
///
/// # Errors
/// If it is none, or not above 0.
pub fn seconds(text: &str) -> Result<Duration, &'static str> {
    let seconds = text.parse().ok().map(Duration::try_from_secs_f64);
    match seconds {
        Some(Ok(seconds)) if !seconds.is_zero() => Ok(seconds),
        _ => Err("not a number of seconds above 0"),
    }
}

/// So many in each period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub number: u32,
    pub per: Duration,
}

/// Parses a rate per second, minute or hour: `10/s`, `90/m`, `1000/h`. `10` is `10/s`.
///
/// # Errors
/// If the number is not a whole one above 0, or the unit is another one.
pub fn rate(text: &str) -> Result<Rate, &'static str> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("the unit must be s, m or h"),
    };
    match number.parse() {
        Ok(number @ 1..) => Ok(Rate {
            number,
            per: Duration::from_secs(seconds),
        }),
        _ => Err("not a whole number above 0, as in 5, 5/s, 100/m, 20/h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_above_zero() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(seconds("10"), Ok(Duration::from_secs(10)));
        for wrong in ["", "0", "-1", "soon", "1s", "inf", "NaN", "1e300"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_have_a_unit_or_none() {
        let per = |number, seconds| {
            let per = Duration::from_secs(seconds);
            Ok(Rate { number, per })
        };
        assert_eq!(rate("5"), per(5, 1));
        assert_eq!(rate("5/s"), per(5, 1));
        assert_eq!(rate("100/m"), per(100, 60));
        assert_eq!(rate("20/h"), per(20, 3600));
        for wrong in ["", "0", "-1", "5/", "5/d", "1.5", "/s", "5000000000"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }
}
