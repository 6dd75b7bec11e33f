//! The scripts that the server runs, each with what goes before it.
//!
//! Layer: jobs.

use redis::Script;
use std::sync::LazyLock;

const PRELUDE: &str = include_str!("lua/prelude.lua");
const ENDS: &str = include_str!("lua/ends.lua");
const PLACE: &str = include_str!("lua/place.lua");
const FILTER: &str = include_str!("lua/filter.lua");

/// A step of the trait. The server runs it as a whole, with nothing in between.
pub(super) struct Step {
    /// For errors.
    pub(super) name: &'static str,
    pub(super) script: LazyLock<Script>,
}

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident, $file:literal: $($before:ident)*;)*) => {
        $(
            pub(super) static $name: Step = Step {
                name: $file,
                script: LazyLock::new(|| {
                    let body = include_str!(concat!("lua/", $file, ".lua"));
                    let parts = [PRELUDE, $($before,)* body];
                    Script::new(&parts.join("\n"))
                }),
            };
        )*
    };
}

steps! {
    ENQUEUE, "enqueue": ENDS PLACE;
    TICK, "tick": ENDS PLACE;
    EXCHANGE, "exchange": ENDS;
    HEARTBEAT, "heartbeat": ENDS;
    OPEN_SESSION, "open_session":;
    CLOSE_SESSION, "close_session": ENDS;
    SESSIONS, "sessions":;
    SWEEP, "sweep": ENDS;
    CANCEL, "cancel": ENDS;
    WATCH, "watch":;
    FATE, "fate":;
    QUEUE, "queue":;
    COUNTS, "counts":;
    LIST, "list": FILTER;
    CHANGE, "change": ENDS FILTER;
    SCHEDULE, "schedule":;
    CHECK_JOBS, "check_jobs": ENDS FILTER;
    CHECK_KEY, "check_key": ENDS;
    ARRIVE, "arrive":;
    NOW, "now":;
}
