//! What is answered to a request.

use crate::sockets::{Hub, MOST_SOCKETS};
use crate::tasks::Tasks;
use crate::work::Data;
use millhand::error::Rejection;
use millhand::limit::Permit;
use millhand::observe::prometheus_of;
use millhand::task::{CancelOutcome, TaskId};
use millhand::{PoolHandle, Semaphore};
use millhand_programs::http::{Request, Response};
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A request may wait so long for its result.
const MOST_WAIT: Duration = Duration::from_secs(60);

/// What requests are about.
pub(crate) struct Service {
    pub(crate) tasks: Tasks,
    pub(crate) work: PoolHandle,
    pub(crate) connections: PoolHandle,
    pub(crate) queue: u32,
    pub(crate) sockets: Arc<Hub>,
    /// A permit per connection.
    pub(crate) slots: Semaphore,
    pub(crate) most_connections: u32,
}

/// The numbers of the service.
#[derive(Serialize)]
struct Status {
    uptime_seconds: f64,
    work: Work,
    queue_capacity: u32,
    tasks_known: usize,
    connections: Places,
    websockets: Places,
}

/// What the pool of the tasks does, and did.
#[derive(Serialize)]
struct Work {
    workers: usize,
    queued: usize,
    running: usize,
    submitted: u64,
    succeeded: u64,
    failed: u64,
    panicked: u64,
    cancelled: u64,
    /// By a full queue.
    refused: u64,
}

#[derive(Serialize)]
struct Places {
    open: usize,
    most: u32,
}

/// What a path stands for.
enum Route<'a> {
    Page,
    Status,
    Metrics,
    Data,
    Task(&'a str),
    Socket,
}

impl Service {
    /// Answers a request. If the answer makes a WebSocket of the connection, `place` is its permit.
    pub(crate) fn answer(&self, request: &Request, place: &mut Option<Permit>) -> Response {
        if is_from_another_site(request) {
            return Response::error(403, "the request comes from a page of another site");
        }
        let Some((route, methods)) = route(&request.path) else {
            let text = format!("there is nothing at {}", request.path);
            return Response::error(404, &text);
        };
        let method = request.method.as_str();
        if !methods.split(", ").any(|one| one == method) {
            let text = format!("{} has the methods {methods}", request.path);
            return Response::error(405, &text).header("Allow", methods);
        }
        // A HEAD is a GET whose response is sent without its body.
        match (route, method) {
            (Route::Page, _) => page(),
            (Route::Status, _) => Response::json(200, &self.status()),
            (Route::Metrics, _) => self.metrics(),
            (Route::Data, _) => self.submit(request),
            (Route::Task(id), "DELETE") => self.cancel(id),
            (Route::Task(id), _) => self.find(id),
            (Route::Socket, _) => {
                let (response, permit) = self.sockets.upgrade(request);
                *place = permit;
                response
            }
        }
    }

    fn status(&self) -> Status {
        let stats = self.work.stats();
        Status {
            uptime_seconds: stats.uptime.as_secs_f64(),
            work: Work {
                workers: stats.workers,
                queued: stats.queued,
                running: stats.running,
                submitted: stats.submitted,
                succeeded: stats.succeeded,
                failed: stats.failed,
                panicked: stats.panicked,
                cancelled: stats.cancelled,
                refused: self.tasks.refused(),
            },
            queue_capacity: self.queue,
            tasks_known: self.tasks.known(),
            connections: Places {
                open: (self.most_connections - self.slots.available()) as usize,
                most: self.most_connections,
            },
            websockets: Places {
                open: self.sockets.len(),
                most: MOST_SOCKETS,
            },
        }
    }

    fn metrics(&self) -> Response {
        let mut text = prometheus_of(&[self.work.stats(), self.connections.stats()]);
        text += "# HELP http_service_refused_total Requests that the full queue has refused.\n";
        text += "# TYPE http_service_refused_total counter\n";
        text += &format!("http_service_refused_total {}\n", self.tasks.refused());
        Response::new(200, "text/plain; version=0.0.4; charset=utf-8", text)
    }

    fn submit(&self, request: &Request) -> Response {
        let wait = request.parameter("wait").map(parse_wait);
        if wait == Some(None) {
            return Response::error(400, "wait is a time such as 2s or 500ms, up to 60s");
        }
        let data = match Data::parse(&request.body) {
            Ok(data) => data,
            Err(text) => return Response::error(400, &text),
        };
        let task = match self.tasks.submit(data) {
            Ok(task) => task,
            Err(reason) => return refused(reason),
        };
        // It ends early if the service cancels its connections.
        let ended = wait.flatten().and_then(|wait| task.end.join_timeout(wait));
        let response = match ended {
            Some(Ok(view)) => Response::json(200, view),
            _ => Response::json(202, &task.view()),
        };
        response.header("Location", format!("/api/tasks/{}", task.id))
    }

    fn find(&self, id: &str) -> Response {
        let found = id.parse().ok().and_then(|id| self.tasks.find(id));
        match found {
            Some(task) => Response::json(200, &task.view()),
            None => unknown(id),
        }
    }

    fn cancel(&self, id: &str) -> Response {
        let known = id.parse::<TaskId>().ok();
        match known.and_then(|id| self.tasks.cancel(id)) {
            Some(CancelOutcome::Settled) => {
                Response::json(200, &json!({"id": id, "cancel": "cancelled"}))
            }
            Some(CancelOutcome::AlreadyFinished) => {
                Response::error(409, &format!("task {id} has ended already"))
            }
            // A body that runs has been asked to stop.
            Some(_) => Response::json(202, &json!({"id": id, "cancel": "requested"})),
            None => unknown(id),
        }
    }
}

/// Returns what a path stands for, and its methods.
fn route(path: &str) -> Option<(Route<'_>, &'static str)> {
    Some(match path {
        "/" => (Route::Page, "GET, HEAD"),
        "/api/status" => (Route::Status, "GET, HEAD"),
        "/metrics" => (Route::Metrics, "GET, HEAD"),
        "/ws" => (Route::Socket, "GET"),
        "/api/data" => (Route::Data, "POST"),
        path => {
            let id = path.strip_prefix("/api/tasks/")?;
            (Route::Task(id), "GET, HEAD, DELETE")
        }
    })
}

fn page() -> Response {
    Response::new(200, "text/html; charset=utf-8", include_str!("page.html"))
}

fn unknown(id: &str) -> Response {
    let text = format!("task {id:?} is unknown or has been forgotten");
    Response::error(404, &text)
}

fn refused(reason: Rejection) -> Response {
    let text = match reason {
        Rejection::Full => "the queue is full",
        _ => "the service is shutting down",
    };
    Response::error(503, text).header("Retry-After", "1")
}

/// A browser sends the origin of the page that makes a request. A page of another site may have a
/// browser send requests here, too.
fn is_from_another_site(request: &Request) -> bool {
    let origin = request.header("origin");
    let host = request.header("host").unwrap_or_default();
    origin.is_some_and(|origin| origin.strip_prefix("http://") != Some(host))
}

fn parse_wait(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let number: u64 = number.parse().ok()?;
    let wait = match unit {
        "s" => Duration::from_secs(number),
        "ms" => Duration::from_millis(number),
        _ => return None,
    };
    (wait <= MOST_WAIT).then_some(wait)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_with_a_unit_and_at_most_a_minute() {
        assert_eq!(parse_wait("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse_wait("0ms"), Some(Duration::ZERO));
        assert_eq!(parse_wait("60s"), Some(MOST_WAIT));
        for wrong in ["", "s", "2", "2m", "1.5s", "-1s", "61s", "60001ms", "2s "] {
            assert_eq!(parse_wait(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_page_of_the_service_may_ask_and_no_other() {
        let is_foreign = |origin: Option<&str>| {
            let mut headers = vec![("Host".to_owned(), "a:80".to_owned())];
            headers.extend(origin.map(|origin| ("Origin".to_owned(), origin.to_owned())));
            is_from_another_site(&Request {
                headers,
                ..Request::default()
            })
        };
        assert!(!is_foreign(None) && !is_foreign(Some("http://a:80")));
        for origin in ["http://a", "http://b:80", "https://a:80", "null", ""] {
            assert!(is_foreign(Some(origin)), "{origin}");
        }
    }
}
