//! What each path of the dashboard answers.
//!
//! Layer: dashboard. It runs on the connection threads, and calls the pools as a program would.

use crate::clock;
use crate::dashboard::access::Access;
use crate::dashboard::http::Request;
use crate::dashboard::json;
use crate::dashboard::panel::{Panel, PanelAction};
use crate::dashboard::reply::Reply;
use crate::observe::prometheus_of;
use crate::panic::{self, Level};
use crate::pool::{PoolHandle, Sampling};
use crate::task::{CancelOutcome, TaskId};
use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};
use std::{mem, process};

/// How long a request waits while others look at the live tasks.
const TABLE_WAIT: Duration = Duration::from_secs(2);
/// How many threads may be in calls of panels.
const MOST_CALLS: usize = 2;
/// How far apart the warnings of wrong tokens are at least.
const WARNING_EACH: Duration = Duration::from_secs(1);

/// What the server shows.
pub(crate) struct Api {
    pools: Vec<Shown>,
    panels: Vec<Asked>,
    access: Access,
    max_rows: usize,
    /// Names this run of the program, by its start and its process.
    instance: String,
    /// Held while live tasks are listed: all of a pool with many are looked at.
    table: Mutex<()>,
    /// How many threads are in calls of panels.
    calls: Mutex<usize>,
    /// The time of the last warning of a wrong token.
    warned: Mutex<Option<Instant>>,
}

struct Shown {
    pool: PoolHandle,
    _sampling: Sampling,
}

struct Asked {
    panel: Box<dyn Panel>,
    title: String,
    actions: Vec<PanelAction>,
    /// Held while the panel is called.
    turn: Mutex<()>,
}

/// The right to call a panel.
struct Turn<'a> {
    _panel: MutexGuard<'a, ()>,
    calls: &'a Mutex<usize>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.calls.lock() -= 1;
    }
}

impl Api {
    pub(crate) fn new(
        pools: Vec<PoolHandle>,
        panels: Vec<Box<dyn Panel>>,
        access: Access,
        max_rows: usize,
    ) -> Self {
        let show = |pool: PoolHandle| Shown {
            _sampling: pool.keep_sampling(),
            pool,
        };
        let ask = |panel: Box<dyn Panel>| Asked {
            title: panel.title(),
            actions: panel.actions(),
            turn: Mutex::new(()),
            panel,
        };
        Self {
            pools: pools.into_iter().map(show).collect(),
            panels: panels.into_iter().map(ask).collect(),
            access,
            max_rows,
            instance: instance(),
            table: Mutex::new(()),
            calls: Mutex::new(0),
            warned: Mutex::new(None),
        }
    }

    pub(crate) fn answer(&self, request: &Request) -> Reply {
        self.try_answer(request).unwrap_or_else(|refusal| refusal)
    }

    fn try_answer(&self, request: &Request) -> Result<Reply, Reply> {
        self.access.check_host(request)?;
        let reads = || match &*request.method {
            "GET" | "HEAD" => Ok(()),
            _ => Err(Reply::wrong_method("GET, HEAD")),
        };
        let data = || {
            reads()?;
            Access::check_site(request)
        };
        let file = |kind, text: &'static str| {
            reads()?;
            Ok(Reply::new(kind, text.as_bytes()))
        };
        match &*request.path {
            "/" => file("text/html; charset=utf-8", include_str!("page.html")),
            "/page.css" => file("text/css; charset=utf-8", include_str!("page.css")),
            "/page.js" => file("text/javascript; charset=utf-8", include_str!("page.js")),
            "/icon.svg" => file("image/svg+xml", include_str!("icon.svg")),
            "/page.json" => data().and_then(|()| self.page(request)),
            "/panel.json" => data().and_then(|()| self.panel(request)),
            "/stats.json" => data().map(|()| self.stats()),
            "/tasks.json" => data().and_then(|()| self.tasks(request)),
            "/metrics" => data().map(|()| self.metrics()),
            "/control" if request.method != "POST" => Err(Reply::wrong_method("POST")),
            "/control" => {
                let checked = self.access.check_control(request);
                if checked.as_ref().is_err_and(|reply| reply.status == 401) {
                    self.warn_of_token(request);
                }
                checked?;
                self.control(request)
            }
            _ => Err(Reply::text(404, "there is no such path")),
        }
    }

    // What is shown.

    fn stats(&self) -> Reply {
        let pools = self
            .pools
            .iter()
            .map(|shown| json::stats(&shown.pool.stats()));
        Reply::json(200, &json!({ "pools": pools.collect::<Vec<_>>() }))
    }

    fn tasks(&self, request: &Request) -> Result<Reply, Reply> {
        let pools = match request.parameter("pool") {
            Some(number) => std::slice::from_ref(self.pool(number.parse().ok())?),
            None => &self.pools,
        };
        let _turn = self.table_turn()?;
        let mut rows = self.max_rows;
        let list = |shown: &Shown| json::tasks(&shown.pool, &mut rows);
        Ok(Reply::json(
            200,
            &json!({ "pools": pools.iter().map(list).collect::<Vec<_>>() }),
        ))
    }

    fn metrics(&self) -> Reply {
        let stats = self.pools.iter().map(|shown| shown.pool.stats());
        let text = prometheus_of(&stats.collect::<Vec<_>>());
        Reply::new(
            "text/plain; version=0.0.4; charset=utf-8",
            text.into_bytes(),
        )
    }

    /// All that the page shows of one pool, and the names of the others.
    fn page(&self, request: &Request) -> Result<Reply, Reply> {
        let names = self.pools.iter().map(|shown| json::pool_name(&shown.pool));
        let panels = self.panels.iter().map(|asked| {
            let actions = asked
                .actions
                .iter()
                .map(|action| json!({ "name": action.name(), "per_row": action.is_per_row() }));
            json!({ "title": asked.title, "actions": actions.collect::<Vec<_>>() })
        });
        let number = request
            .parameter("pool")
            .map_or(Some(0), |text| text.parse().ok());
        // With panels alone there is no pool to show.
        let pool = match self.pools.is_empty() {
            true => Value::Null,
            false => {
                let shown = self.pool(number)?;
                let _turn = self.table_turn()?;
                json::pool(&shown.pool, self.max_rows)
            }
        };
        let page = json!({
            "pools": names.collect::<Vec<_>>(),
            "panels": panels.collect::<Vec<_>>(),
            "allows_control": self.access.token.is_some(),
            "instance": self.instance,
            "number": number,
            "pool": pool,
        });
        Ok(Reply::json(200, &page))
    }

    fn panel(&self, request: &Request) -> Result<Reply, Reply> {
        let number = request
            .parameter("panel")
            .and_then(|text| text.parse().ok());
        let asked = self.asked(number)?;
        let Some(turn) = self.turn(asked) else {
            return Ok(Reply::json(503, &json!({ "error": BUSY })));
        };
        let text = asked.panel.json();
        drop(turn);
        match serde_json::from_str::<Value>(&text) {
            Ok(_) => Ok(Reply::json_text(&text)),
            Err(error) => {
                let text = format!("what the panel returned is no JSON: {error}");
                Err(Reply::text(500, &text))
            }
        }
    }

    fn pool(&self, number: Option<u64>) -> Result<&Shown, Reply> {
        let found = number.and_then(|number| self.pools.get(usize::try_from(number).ok()?));
        found.ok_or_else(|| Reply::text(404, "there is no such pool"))
    }

    fn table_turn(&self) -> Result<MutexGuard<'_, ()>, Reply> {
        let turn = self.table.try_lock_for(TABLE_WAIT);
        turn.ok_or_else(|| Reply::text(503, "too many requests list the live tasks"))
    }

    /// `None` if the panel is called, or so many others are that a thread would be missed.
    fn turn<'a>(&'a self, asked: &'a Asked) -> Option<Turn<'a>> {
        let mut calls = self.calls.lock();
        if *calls == MOST_CALLS {
            return None;
        }
        let _panel = asked.turn.try_lock()?;
        *calls += 1;
        let calls = &self.calls;
        Some(Turn { _panel, calls })
    }

    fn asked(&self, number: Option<u64>) -> Result<&Asked, Reply> {
        let found = number.and_then(|number| self.panels.get(usize::try_from(number).ok()?));
        found.ok_or_else(|| Reply::text(404, "there is no such panel"))
    }

    // What is changed.

    /// Carries out the command in the body. Returns what has happened as text.
    fn control(&self, request: &Request) -> Result<Reply, Reply> {
        let Ok(command) = serde_json::from_slice::<Value>(&request.body) else {
            return Err(Reply::text(400, "the body is no JSON"));
        };
        let is_other = |key: &str, name: &str| command[key].as_str().is_some_and(|it| it != name);
        if is_other("instance", &self.instance) {
            return Err(Reply::text(409, "the program was restarted meanwhile"));
        }
        let pool = || {
            let pool = &self.pool(command["pool"].as_u64())?.pool;
            match is_other("name", &json::pool_name(pool)) {
                true => Err(Reply::text(409, "the pool of this number has another name")),
                false => Ok(pool),
            }
        };
        let text = match command["do"].as_str() {
            Some("check") => "the token is right".to_owned(),
            Some("cancel") => cancel(pool()?, &command)?,
            Some("resize") => resize(pool()?, &command)?,
            Some("pause") => set_paused(pool()?, &command, true)?,
            Some("resume") => set_paused(pool()?, &command, false)?,
            Some("act") => self.act(&command)?,
            _ => return Err(Reply::text(400, "there is no such command")),
        };
        if command["do"] != "check" {
            panic::log(
                Level::Info,
                format_args!("from the dashboard: {text:?}, by {command}"),
            );
        }
        Ok(Reply::text(200, &text))
    }

    /// Warns of a wrong token, but not of each: guesses come fast.
    fn warn_of_token(&self, request: &Request) {
        if request.authorization.is_none() {
            return;
        }
        let now = clock::now();
        let mut warned = self.warned.lock();
        if warned.is_none_or(|before| now.saturating_duration_since(before) >= WARNING_EACH) {
            *warned = Some(now);
            drop(warned);
            let text = format_args!("a request to the dashboard has a wrong token");
            panic::log(Level::Warn, text);
        }
    }

    fn act(&self, command: &Value) -> Result<String, Reply> {
        let asked = self.asked(command["panel"].as_u64())?;
        let row = command["row"].as_str();
        let name = command["action"].as_str().unwrap_or_default();
        let is_known =
            |action: &PanelAction| action.name() == name && action.is_per_row() == row.is_some();
        if !asked.actions.iter().any(is_known) {
            return Err(Reply::text(404, "there is no such action"));
        }
        let turn = self.turn(asked).ok_or_else(|| Reply::text(503, BUSY))?;
        let done = asked.panel.act(name, row);
        drop(turn);
        done.map_err(|error| Reply::text(422, &error))
    }
}

const BUSY: &str = "the panel is busy";

fn instance() -> String {
    let since = clock::wall_now().duration_since(SystemTime::UNIX_EPOCH);
    format!("{}-{}", since.unwrap_or_default().as_nanos(), process::id())
}

/// An id is a text, since the numbers of scripts are not exact. A number is taken, too.
fn id_of(value: &Value) -> Result<u64, Reply> {
    let id = match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    };
    id.ok_or_else(|| Reply::text(400, "the id is missing or no number"))
}

fn cancel(pool: &PoolHandle, command: &Value) -> Result<String, Reply> {
    let id = TaskId::of(id_of(&command["task"])?);
    match pool.cancel(id) {
        Some(CancelOutcome::Settled) => Ok(format!("task {id} is cancelled")),
        Some(CancelOutcome::Requested) => Ok(format!("task {id} is asked to stop")),
        Some(CancelOutcome::AlreadyFinished) => Err(Reply::text(409, "the task has finished")),
        None => Err(Reply::text(
            404,
            "there is no such task, or it has finished",
        )),
    }
}

fn resize(pool: &PoolHandle, command: &Value) -> Result<String, Reply> {
    let workers = command["workers"]
        .as_u64()
        .and_then(|n| usize::try_from(n).ok());
    let workers = workers.ok_or_else(|| Reply::text(400, "`workers` is no number"))?;
    match pool.resize(workers) {
        // A wish for no worker is refused, so this is a pool without any.
        Ok(0) => Err(Reply::text(409, "the pool has ended")),
        Ok(now) => Ok(format!("the pool has {now} workers")),
        Err(error) => Err(Reply::text(422, &error.to_string())),
    }
}

fn set_paused(pool: &PoolHandle, command: &Value, is_paused: bool) -> Result<String, Reply> {
    let id = id_of(&command["schedule"])?;
    if !pool.core().lifecycle.set_schedule_paused(id, is_paused) {
        return Err(Reply::text(
            404,
            "there is no such schedule, or it has ended",
        ));
    }
    let state = if is_paused { "is paused" } else { "goes on" };
    Ok(format!("the schedule {state}"))
}

impl Drop for Api {
    fn drop(&mut self) {
        // The panels are the user's.
        panic::discard(mem::take(&mut self.panels));
    }
}
