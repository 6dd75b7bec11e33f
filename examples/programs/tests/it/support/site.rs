//! A web site on loopback, which the test answers for. Each connection has a thread of its own, so
//! that a reply may be held back.

use crate::support::{BOUND, until};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The header of that name.
    pub(crate) referer: Option<String>,
}

/// Writes the reply to a request. The connection is closed after it.
pub(crate) type Answer = dyn Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync;

pub(crate) struct Site {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    is_over: Arc<AtomicBool>,
    accepts: Option<JoinHandle<()>>,
}

impl Site {
    /// Serves what a function returns for each path. `robots.txt` is not there.
    pub(crate) fn of(reply: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::serve(move |request, stream| {
            let text = match request.path.as_str() {
                "/robots.txt" => status(404),
                path => reply(path),
            };
            stream.write_all(text.as_bytes())
        })
    }

    pub(crate) fn serve(
        answer: impl Fn(&Request, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let answer: Arc<Answer> = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let accepts = {
            let (requests, is_over) = (requests.clone(), is_over.clone());
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    let (answer, requests) = (answer.clone(), requests.clone());
                    // A client that goes away is no fault of the site.
                    let serve = move |stream| drop(converse(stream, &requests, &*answer));
                    let stream = stream.unwrap();
                    thread::spawn(move || serve(stream));
                }
            })
        };
        Self {
            address,
            requests,
            is_over,
            accepts: Some(accepts),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns all requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// Returns the paths of all requests so far, sorted, without that of `robots.txt`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let paths = self.requests().into_iter().map(|request| request.path);
        let mut paths: Vec<_> = paths.filter(|path| path != "/robots.txt").collect();
        paths.sort();
        paths
    }

    /// Waits until a path is asked for.
    pub(crate) fn wait_for(&self, path: &str) {
        until(path, || {
            let requests = self.requests();
            requests
                .iter()
                .any(|request| request.path == path)
                .then_some(())
        });
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(accepts)) = (woken, self.accepts.take()) {
            let _ = accepts.join();
        }
    }
}

fn converse(
    stream: TcpStream,
    requests: &Mutex<Vec<Request>>,
    answer: &Answer,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(BOUND))?;
    let mut head = BufReader::new(stream.try_clone()?).lines();
    let first = head.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut request = Request {
        path: first.split(' ').nth(1).unwrap_or_default().to_owned(),
        referer: None,
    };
    for line in head {
        let line = line?;
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("referer") => {
                request.referer = Some(value.to_owned());
            }
            _ if line.is_empty() => break,
            _ => {}
        }
    }
    requests.lock().unwrap().push(request.clone());
    let mut stream = stream;
    answer(&request, &mut stream)
}

/// A page with links to these.
pub(crate) fn links(links: &[&str]) -> String {
    let links = links.iter().map(|link| format!("<a href=\"{link}\">x</a>"));
    page(&links.collect::<String>())
}

pub(crate) fn page(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    )
}

pub(crate) fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} S\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

pub(crate) fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

/// Holds threads back until it is opened.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn wait(&self) {
        let (is_open, opened) = &*self.0;
        let is_open = is_open.lock().unwrap();
        drop(opened.wait_while(is_open, |is_open| !*is_open));
    }

    pub(crate) fn open(&self) {
        let (is_open, opened) = &*self.0;
        *is_open.lock().unwrap() = true;
        opened.notify_all();
    }
}
