//! The arguments.

use clap::Parser;
use millhand_programs::arguments::{Rate, rate, seconds, whole};
use std::path::PathBuf;
use std::time::Duration;

/// Runs shell commands, several at a time: the lines of the input, or COMMAND with {} for the line.
///
/// Each output is printed in one piece when its command has ended. The first Ctrl-C lets no more
/// commands start, the second ends those that run, the third ends the program at once.
#[derive(Parser)]
#[command(name = "parallel", version, after_help = EXIT_CODES)]
pub(crate) struct Options {
    /// How many commands run at a time. Default: the number of processors
    #[arg(short, long, value_name = "N", default_value_t = processors(), hide_default_value = true)]
    #[arg(value_parser = whole::<u32>(1..=10_000))]
    pub(crate) jobs: u32,

    /// Reads the lines from FILE, and not from standard input, which is also -
    #[arg(short, long, value_name = "FILE")]
    pub(crate) arg_file: Option<PathBuf>,

    /// Ends a command after so long, with the processes that it has started: SIGTERM, and SIGKILL
    /// 5 seconds later
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    /// Runs a command that fails again after a second, at most N times
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    #[arg(value_parser = whole::<u32>(0..=u32::MAX.into()))]
    pub(crate) retries: u32,

    /// Starts at most N commands per second, evenly spread. N/m is per minute, N/h per hour
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<Rate>,

    /// Prints the outputs in the order of the input
    #[arg(short, long)]
    pub(crate) keep_order: bool,

    /// When a command fails, ends those that run, and starts no more
    #[arg(long)]
    pub(crate) halt_on_error: bool,

    /// Prints the commands instead of running them
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Notes each command that has ended: the number of its line, its exit code, its text
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,

    /// Leaves out what has ended by the journal, also if it has failed. To run such a command
    /// again, take its line out of the journal
    #[arg(long, requires = "journal")]
    pub(crate) resume: bool,

    /// The text of a shell command. {} is replaced by the line, quoted for the shell. If there is
    /// none, the line comes last. Without COMMAND, the line is the command
    #[arg(trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}

const EXIT_CODES: &str = "Exit codes of commands, in the journal: 128 + N for signal N, 124 for \
    the time limit, 126 if it could not be started.\n\n\
    Exit codes: 0 if all commands have succeeded; 1 if one has failed, now or by the journal, or \
    if not all could be run; 2 for wrong arguments; 130 after a signal.";

fn processors() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(processors).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_options_contradict_each_other_nowhere() {
        Options::command().debug_assert();
    }

    #[test]
    fn what_follows_the_first_word_of_the_command_belongs_to_it() {
        let words = ["parallel", "-j3", "gzip", "-k", "--timeout", "{}"];
        let options = Options::parse_from(words);
        assert_eq!((options.jobs, options.keep_order), (3, false));
        assert_eq!(options.command, words[2..]);
    }
}
