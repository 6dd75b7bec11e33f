//! The command line: what is the same for all programs, and parsers for `value_parser` of clap.

use crate::{output_error, say};
use clap::error::Error;
use clap::{Arg, Command, Parser};
use jiff::{Span, SpanRelativeTo};
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::process;
use std::time::Duration;

/// Parses the command line. Ends the process with 2 for wrong arguments, and after `--help`.
///
/// `Parser::parse` takes the -1 of `-j -1` for an option, and ends with 0 if a help cannot be
/// written.
#[must_use]
pub fn parse<T: Parser>() -> T {
    let command = take_numbers(T::command()).mut_subcommands(take_numbers);
    let name = command.get_name().to_owned();
    let parsed = command.try_get_matches();
    let parsed = parsed.and_then(|mut matches| T::from_arg_matches_mut(&mut matches));
    parsed.unwrap_or_else(|error| end(&name, &error))
}

fn take_numbers(command: Command) -> Command {
    command.mut_args(|arg: Arg| {
        let takes_numbers = arg.get_action().takes_values() && !arg.is_positional();
        arg.allow_negative_numbers(takes_numbers)
    })
}

fn end(name: &str, error: &Error) -> ! {
    let code = match error.print() {
        Err(unprinted) if !error.use_stderr() => {
            if unprinted.kind() != ErrorKind::BrokenPipe {
                say(format_args!("{name}: {}", output_error(unprinted)));
            }
            1
        }
        _ => error.exit_code(),
    };
    process::exit(code)
}

/// Returns a parser of whole numbers in a range.
pub fn whole<T: TryFrom<u64> + 'static>(
    range: RangeInclusive<u64>,
) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        let (least, most) = (range.start(), range.end());
        number.ok_or_else(|| format!("not a whole number from {least} to {most}"))
    }
}

/// Parses a host and a port, and returns them as they are.
///
/// # Errors
/// If there is no host, or the port is no number.
pub fn host_and_port(text: &str) -> Result<String, &'static str> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            Ok(text.to_owned())
        }
        _ => Err("not a host and a port, such as 127.0.0.1:8080"),
    }
}

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

/// Parses a time such as `30s`, `1h30m` or `7d`. A day has 24 hours.
///
/// # Errors
/// If it is none, or before now.
pub fn duration(text: &str) -> Result<Duration, String> {
    let span = text.parse::<Span>().ok();
    let span = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let time = span.and_then(|span| Duration::try_from(span).ok());
    time.ok_or_else(|| format!("`{text}` is no time: allowed are such as 30s, 10m, 1h30m and 7d"))
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
    fn whole_numbers_are_in_their_range() {
        let few = whole::<u8>(1..=3);
        assert_eq!((few("1"), few("3")), (Ok(1), Ok(3)));
        for wrong in ["", "0", "4", "-1", "1.5", "one", "300"] {
            let error = few(wrong).unwrap_err();
            assert_eq!(error, "not a whole number from 1 to 3", "{wrong}");
        }
    }

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
