//! Wakes those that wait for news, of this process and of others.
//!
//! Layer: jobs.
//
// A script that makes a job ready puts a token into the list `wake:<queue>`, if there is none. What
// concerns one process goes to its inbox, the list `in:<process>`: the ends of jobs that it
// watches, and the cancels in sessions that it watches. One thread waits for all of them, by BLPOP.
//
// A token wakes one process. If that does not claim all that is ready, its exchange puts the token
// there again. A token that is lost with a connection costs a look a second later.

use crate::jobs::redis::line::{self, Pauses, SILENCE};
use crate::jobs::redis::shared::Shared;
use redis::{Connection, RedisResult, Value};
use std::sync::Arc;
use std::time::Duration;

/// The server answers after this time if there is no news.
const WAIT: Duration = Duration::from_secs(2);

/// So many items of the inbox are taken at once.
const MOST_ITEMS: usize = 100;

/// The thread that listens. Runs until the storage closes.
pub(super) fn run(shared: &Arc<Shared>) {
    let mut pauses = Pauses::default();
    while !shared.is_closed() {
        if let Ok(mut conn) = connect(shared) {
            // What came while there was no connection is not known.
            shared.notifiers.notify_all();
            while !shared.is_closed() && look(shared, &mut conn).is_ok() {
                pauses = Pauses::default();
            }
        }
        let _ = shared
            .closing
            .listen()
            .wait_timeout(match shared.is_closed() {
                true => Duration::ZERO,
                false => pauses.next(),
            });
    }
}

fn connect(shared: &Shared) -> Result<Connection, ()> {
    let line = line::connect(&shared.lines.client, None).map_err(drop)?;
    let conn = line.into_inner();
    conn.set_read_timeout(Some(WAIT + SILENCE)).map_err(drop)?;
    Ok(conn)
}

/// Waits for the next news, and uses the notifiers.
fn look(shared: &Shared, conn: &mut Connection) -> RedisResult<()> {
    let inbox = shared.key("in:", &shared.inbox);
    let mut wait = redis::cmd("BLPOP");
    wait.arg(&inbox);
    for queue in shared.notifiers.queues() {
        wait.arg(shared.key("wake:", &queue));
    }
    wait.arg(WAIT.as_secs());
    let Some((key, item)): Option<(String, String)> = wait.query(conn)? else {
        return Ok(());
    };
    if key != inbox {
        shared.notifiers.notify_queue(&item);
        return Ok(());
    }
    shared.notifiers.notify_item(&item);
    let mut rest = redis::cmd("LPOP");
    let items: Option<Vec<String>> = rest.arg(&inbox).arg(MOST_ITEMS).query(conn)?;
    for item in items.into_iter().flatten() {
        shared.notifiers.notify_item(&item);
    }
    Ok(())
}

/// Has the thread look anew: by an item that means nothing. Returns whether it could be sent.
pub(super) fn disturb(shared: &Shared, conn: &mut Connection) -> bool {
    let mut push = redis::cmd("RPUSH");
    let pushed: RedisResult<Value> = push
        .arg(shared.key("in:", &shared.inbox))
        .arg("-")
        .query(conn);
    pushed.is_ok()
}
