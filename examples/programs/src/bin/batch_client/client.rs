//! Sends requests: each is a task with limits and retries, which waits for the rate of its host
//! without a thread.
//
// `TaskBuilder::map_iter` would read the input and keep the results in order, but it has the same
// gates for all items, and here the gate depends on the request. So each request is submitted by
// itself, a semaphore takes the place of the window, and the output brings the results in order.

use crate::Options;
use crate::output::{Output, Reply, Slot};
use crate::request::Request;
use crate::retry::{self, Again};
use millhand::cancel::CancelReason;
use millhand::limit::Keyed;
use millhand::pool::Retrying;
use millhand::task::Summary;
use millhand::{CancelToken, Pool, RateLimiter, Retry, TaskBuilder};
use millhand_programs::lock;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use ureq::http::header::RETRY_AFTER;
use ureq::{Agent, AsSendBody, Body, RequestExt, http};

/// The delay before the first retry. It doubles up to a minute, with jitter.
const BACK_OFF: Duration = Duration::from_millis(500);

/// The tasks of the requests.
pub(crate) struct Client {
    task: TaskBuilder<Retrying<Again>>,
    rates: Option<Keyed<String, RateLimiter>>,
    sender: Sender,
    output: Arc<Output>,
}

/// What sends a request once.
#[derive(Clone)]
struct Sender {
    agent: Agent,
    keeps_bodies: bool,
    retries_all: bool,
}

/// A request on its way, for its attempts and for the end of its task.
struct Exchange {
    request: Request,
    /// What the last attempt got.
    reply: Mutex<Option<Result<Reply, String>>>,
    slot: Mutex<Option<Slot>>,
}

impl Client {
    /// `quit` cancels all requests.
    pub(crate) fn new(
        pool: &Pool,
        quit: &CancelToken,
        output: Arc<Output>,
        options: &Options,
    ) -> Result<Self, Box<dyn Error>> {
        // A server may ask for a later retry than the time limit allows. Then there is none.
        let policy = Retry::exponential(options.retries, BACK_OFF);
        let policy = policy.max_elapsed(options.total_timeout);
        let task = pool
            .task()
            .name("request")
            .token(quit)
            .attempt_timeout(options.timeout)
            .total_timeout(options.total_timeout)
            .retry(policy)
            .retry_after(|again: &Again| again.after);
        task.check()?;
        let rates = options.rate.map(|rate| {
            // One at a time, evenly: a burst would be what the rate is to prevent.
            RateLimiter::keyed(RateLimiter::token_bucket(rate.number, rate.per).burst(1))
        });
        Ok(Self {
            task,
            rates: rates.transpose()?,
            sender: Sender::new(options),
            output,
        })
    }

    /// Sends a request, and has the output write what comes of it. Returns false if the pool takes
    /// no more.
    pub(crate) fn send(&self, request: Request, slot: Slot) -> bool {
        let mut task = self.task.clone();
        if let Some(rates) = &self.rates {
            task = task.gate(&rates.key(request.host()));
        }
        let exchange = Arc::new(Exchange {
            request,
            reply: Mutex::new(None),
            slot: Mutex::new(Some(slot)),
        });
        let (ended, output) = (exchange.clone(), self.output.clone());
        let task = task.on_finish(move |summary| ended.finish(summary, &output));
        let sender = self.sender.clone();
        task.try_execute_ok(move || sender.attempt(&exchange))
            .is_ok()
    }
}

impl Exchange {
    /// The task has ended, in whichever way. The pool calls this once.
    fn finish(&self, summary: &Summary, output: &Output) {
        let reply = lock(&self.reply).take();
        let slot = lock(&self.slot).take();
        if let Some(slot) = slot {
            output.finish(slot, &self.request, summary, reply);
        }
    }
}

impl Sender {
    fn new(options: &Options) -> Self {
        let connections = usize::from(options.jobs);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .build();
        Self {
            agent: config.new_agent(),
            keeps_bodies: options.bodies,
            retries_all: options.retry_all,
        }
    }

    /// The body of a task. An `Err` asks for another attempt: all else is a result.
    fn attempt(&self, exchange: &Exchange) -> Result<(), Again> {
        let task = millhand::current().expect("it runs as a task");
        let agent = self.agent.clone();
        // A second Ctrl-C, or an output that is closed, ends the calls that wait for a server.
        let _hook = task.token().on_cancel(move |reason| match reason {
            CancelReason::Deadline => {} // the call has the same limit
            _ => agent.shutdown(),
        });
        let request = &exchange.request;
        let (reply, again) = match self.fetch(request, task.remaining()) {
            Ok((reply, asked_for)) => {
                let again = retry::is_worth_it(reply.status).then_some(Again { after: asked_for });
                (Ok(reply), again)
            }
            Err(error) => {
                let again = retry::may_pass(&error).then_some(Again { after: None });
                (Err(retry::text(&error)), again)
            }
        };
        *lock(&exchange.reply) = Some(reply);
        let may_repeat = self.retries_all || request.method.is_idempotent();
        match again {
            Some(again) if may_repeat => Err(again),
            _ => Ok(()),
        }
    }

    /// Sends the request, and reads the response to its end, so that the connection serves the
    /// next one. Returns also for which delay the server asks.
    fn fetch(
        &self,
        request: &Request,
        limit: Option<Duration>,
    ) -> Result<(Reply, Option<Duration>), ureq::Error> {
        let response = match &request.body {
            Some(text) => self.call(request, text.as_str(), limit),
            None => self.call(request, (), limit),
        };
        let (head, mut body) = response?.into_parts();
        let asked_for = head.headers.get(RETRY_AFTER);
        let asked_for = asked_for.and_then(|text| retry::after(text.as_bytes(), SystemTime::now()));
        let (bytes, text) = match self.keeps_bodies {
            true => {
                let body = body.read_to_vec()?;
                (body.len() as u64, Some(String::from_utf8(body).ok()))
            }
            false => (io::copy(&mut body.as_reader(), &mut io::sink())?, None),
        };
        let status = head.status.as_u16();
        let reply = Reply {
            status,
            bytes,
            text,
        };
        Ok((reply, asked_for))
    }

    fn call(
        &self,
        request: &Request,
        body: impl AsSendBody,
        limit: Option<Duration>,
    ) -> Result<http::Response<Body>, ureq::Error> {
        let mut call = http::Request::new(body);
        *call.method_mut() = request.method.clone();
        *call.uri_mut() = request.uri.clone();
        *call.headers_mut() = request.headers.clone();
        let call = call.with_agent(&self.agent).configure();
        call.timeout_global(limit).build().run()
    }
}
