//! Which signals are caught, and by which crate.
//!
//! A signal that is ignored stays ignored: the caller of the program has asked for that (`nohup`
//! for SIGHUP, a script's `&` for SIGINT), and the children of the program inherit it. A signal
//! that has a handler already keeps that alone.
//
// ctrlc catches all three signals or none: it refuses if one of them is ignored or handled. Then
// signal-hook catches the others. It has no call that leaves an ignored signal alone, so they must
// be known before. The one safe source is Linux's `/proc`. Without it ctrlc is tried. If it
// refuses, only SIGTERM is caught: almost no program is started with that ignored, and a service
// manager ends a program by that.
//
// Where `/proc` names a signal that is not free, ctrlc is not even tried. It would catch the first
// signals, and restore them when it meets that one: a signal that comes in between would be lost.

use crate::panic::Level;

/// What the registration did.
pub(super) struct Caught {
    /// Whether any signal is caught.
    pub(super) is_any: bool,
    /// What to log, if not all are.
    pub(super) note: Option<(Level, String)>,
}

#[cfg(not(unix))]
pub(super) fn catch(handler: impl FnMut() + Copy + Send + 'static) -> Caught {
    let refused = ctrlc::try_set_handler(handler).err();
    Caught {
        is_any: refused.is_none(),
        note: refused.map(|error| {
            let text = format!(
                "no signal shuts the pools down: they are handled elsewhere already ({error})"
            );
            (Level::Warn, text)
        }),
    }
}

#[cfg(unix)]
pub(super) use by_unix::catch;

#[cfg(unix)]
mod by_unix {
    use super::Caught;
    use crate::panic::Level;
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    use signal_hook::iterator::Signals;
    use std::sync::mpsc;
    use std::{fs, io, thread};

    const ALL: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

    fn names(signals: &[i32]) -> String {
        let names = signals.iter().map(|signal| match *signal {
            SIGINT => "SIGINT",
            SIGTERM => "SIGTERM",
            _ => "SIGHUP",
        });
        names.collect::<Vec<_>>().join(", ")
    }

    /// Has `handler` called on a thread of its own for each signal that is free.
    pub(in crate::signal) fn catch(handler: impl FnMut() + Copy + Send + 'static) -> Caught {
        // Of this thread: after the end of the main thread the file of the process has no sets.
        let status = fs::read_to_string("/proc/thread-self/status").ok();
        let taken = status.as_deref().and_then(Taken::parse);
        let mut free = taken.as_ref().map_or_else(|| ALL.to_vec(), Taken::free);
        let why = match taken {
            Some(taken) if free != ALL => taken.describe(),
            // `try_`: another handler, or a setting that ignores a signal, is left in place.
            _ => match ctrlc::try_set_handler(handler) {
                Ok(()) => {
                    return Caught {
                        is_any: true,
                        note: None,
                    };
                }
                Err(error) if taken.is_some() => error.to_string(),
                Err(error) => {
                    free = vec![SIGTERM];
                    format!("others are ignored or handled elsewhere, and left so ({error})")
                }
            },
        };
        catch_each(free, handler, &why)
    }

    /// `why`: why ctrlc does not catch them all.
    fn catch_each(signals: Vec<i32>, handler: impl FnMut() + Send + 'static, why: &str) -> Caught {
        let names = names(&signals);
        let stops_by_term = signals.contains(&SIGTERM);
        let error = match signals.is_empty() {
            true => None,
            false => run_thread(signals, handler).err(),
        };
        let is_any = error.is_none() && !names.is_empty();
        let text = match error {
            Some(error) => format!("no signal shuts the pools down: {error}; {why}"),
            None if names.is_empty() => format!("no signal shuts the pools down: {why}"),
            None => format!("signals that shut the pools down: {names}; {why}"),
        };
        // A service manager cannot end the program in order without SIGTERM.
        let level = match is_any && stops_by_term {
            true => Level::Info,
            false => Level::Warn,
        };
        Caught {
            is_any,
            note: Some((level, text)),
        }
    }

    /// The new thread registers the signals itself: a signal that is caught while there is no
    /// thread would be lost.
    fn run_thread(signals: Vec<i32>, mut handler: impl FnMut() + Send + 'static) -> io::Result<()> {
        let (send, receive) = mpsc::channel();
        let thread = thread::Builder::new().name("millhand-signal".to_owned());
        // Not a pipe alone: a forked child has a copy of that, and would notify its parent of its
        // own signals.
        thread.spawn(move || match Signals::new(signals) {
            Ok(mut signals) => {
                let _ = send.send(Ok(()));
                signals.forever().for_each(|_| handler());
            }
            Err(error) => drop(send.send(Err(error))),
        })?;
        receive
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("its thread has ended")))
    }

    /// Sets of signals, as bits: signal 1 is the lowest.
    struct Taken {
        ignored: u128,
        handled: u128,
    }

    impl Taken {
        /// From the text of a `status` file of Linux.
        fn parse(status: &str) -> Option<Self> {
            let set = |name| {
                let digits = status.lines().find_map(|line| line.strip_prefix(name));
                u128::from_str_radix(digits?.trim(), 16).ok()
            };
            Some(Self {
                ignored: set("SigIgn:")?,
                handled: set("SigCgt:")?,
            })
        }

        fn free(&self) -> Vec<i32> {
            members(!(self.ignored | self.handled))
        }

        fn describe(&self) -> String {
            let sets = [
                (self.ignored, "ignored before, and left so"),
                (self.handled, "handled elsewhere"),
            ];
            let sets = sets.map(|(set, what)| (members(set), what));
            let sets = sets.iter().filter(|(signals, _)| !signals.is_empty());
            let texts = sets.map(|(signals, what)| format!("{what}: {}", names(signals)));
            texts.collect::<Vec<_>>().join("; ")
        }
    }

    /// Those of the three signals that are in the set.
    fn members(set: u128) -> Vec<i32> {
        let mut signals = ALL.to_vec();
        signals.retain(|signal| set >> (signal - 1) & 1 == 1);
        signals
    }

    #[cfg(all(test, not(loom)))]
    mod tests {
        use super::*;

        const STATUS: &str = "Name:\tx\nSigQ:\t0/96\nSigPnd:\t0000000000000000\n\
            SigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000442\n";

        #[test]
        fn the_status_file_names_what_is_ignored_and_what_is_handled() {
            let taken = Taken::parse(STATUS).unwrap();
            assert_eq!(taken.free(), [SIGTERM]);
            assert_eq!(
                taken.describe(),
                "ignored before, and left so: SIGHUP; handled elsewhere: SIGINT"
            );
        }

        #[test]
        fn a_status_file_without_the_sets_says_nothing() {
            assert!(Taken::parse("").is_none());
            assert!(Taken::parse("SigIgn:\t0\n").is_none());
            assert!(Taken::parse("SigIgn:\tx\nSigCgt:\t0\n").is_none());
        }
    }
}
