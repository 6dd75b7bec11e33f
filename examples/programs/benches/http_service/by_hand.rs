//! The same service as one writes it without millhand: `threadpool` for the connections and for the
//! work, and `oneshot` for a result. It has what the bench asks for, `GET /api/status` and
//! `POST /api/data?wait=..`, and reads HTTP with the same code.

use millhand::CancelToken;
use millhand_programs::http::{Connection, Limits, Request, Response};
use serde::Deserialize;
use serde_json::json;
use std::io::{self, Write, stdout};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};
use threadpool::ThreadPool;

const CONNECTIONS: usize = 128;
const QUEUE: usize = 100;

struct Service {
    work: ThreadPool,
    next: AtomicU64,
    succeeded: AtomicUsize,
    begun: Instant,
}

#[derive(Deserialize)]
struct Data {
    text: String,
}

/// Serves until the process is killed.
pub(crate) fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    writeln!(stdout(), "listening on http://{}", listener.local_addr()?)?;
    let service = Arc::new(Service {
        work: ThreadPool::new(available_parallelism()?.into()),
        next: AtomicU64::new(1),
        succeeded: AtomicUsize::new(0),
        begun: Instant::now(),
    });
    let connections = ThreadPool::new(CONNECTIONS);
    let stop = CancelToken::new();
    for stream in listener.incoming() {
        let connection = Connection::new(stream?, Limits::default(), &stop)?;
        let service = service.clone();
        connections.execute(move || {
            connection.serve(|request| service.answer(request));
        });
    }
    Ok(())
}

impl Service {
    fn answer(&self, request: &Request) -> Response {
        match (&*request.method, &*request.path) {
            ("GET", "/api/status") => self.status(),
            ("POST", "/api/data") => self.run(request),
            _ => Response::error(404, "there is nothing here"),
        }
    }

    fn status(&self) -> Response {
        let status = json!({
            "uptime_seconds": self.begun.elapsed().as_secs_f64(),
            "work": {
                "workers": self.work.max_count(),
                "queued": self.work.queued_count(),
                "running": self.work.active_count(),
                "panicked": self.work.panic_count(),
                "succeeded": self.succeeded.load(Ordering::Relaxed),
            },
            "queue_capacity": QUEUE,
        });
        Response::json(200, &status)
    }

    fn run(&self, request: &Request) -> Response {
        let data: Data = match serde_json::from_slice(&request.body) {
            Ok(data) => data,
            Err(error) => return Response::error(400, &error.to_string()),
        };
        if self.work.queued_count() >= QUEUE {
            return Response::error(503, "the queue is full").header("Retry-After", "1");
        }
        let (send, receive) = oneshot::channel();
        let submitted = Instant::now();
        self.work.execute(move || {
            let waited = submitted.elapsed();
            let begun = Instant::now();
            let answer = json!({
                "bytes": data.text.len(),
                "chars": data.text.chars().count(),
                "words": data.text.split_whitespace().count(),
                "lines": data.text.lines().count(),
                "blake3": blake3::hash(data.text.as_bytes()).to_hex().to_string(),
            });
            // The request may have ended.
            let _ = send.send((answer, waited, begun.elapsed()));
        });
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        match receive.recv_timeout(Duration::from_secs(10)) {
            Ok((answer, waited, ran)) => {
                self.succeeded.fetch_add(1, Ordering::Relaxed);
                let task = json!({
                    "id": id.to_string(),
                    "state": "succeeded",
                    "result": answer,
                    "waited_ms": waited.as_secs_f64() * 1000.0,
                    "ran_ms": ran.as_secs_f64() * 1000.0,
                });
                Response::json(200, &task)
            }
            Err(_) => Response::json(202, &json!({"id": id.to_string()})),
        }
    }
}
