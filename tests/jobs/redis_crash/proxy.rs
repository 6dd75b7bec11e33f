//! Stands between clients and a server, and does to their connections what networks do.

use crate::crash::Random;
use crate::redis_server::Server;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::thread;

/// A proxy. It ends when this is dropped.
pub(super) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    socket: PathBuf,
    /// Which way nothing passes.
    held: Mutex<Held>,
    is_released: Condvar,
    links: Mutex<Vec<Weak<Link>>>,
    /// Whether connections are cut at random bytes.
    cuts: AtomicBool,
    refuses: AtomicBool,
    is_over: AtomicBool,
    number_of_cuts: AtomicU64,
    refused: AtomicU64,
    /// Connections that their clients have given up while something of them was held.
    given_up: AtomicU64,
}

/// Which way nothing passes.
#[derive(Clone, Copy, Default)]
pub(super) struct Held {
    pub(super) requests: bool,
    pub(super) replies: bool,
}

/// A connection, on both sides of the proxy.
struct Link {
    client: TcpStream,
    server: UnixStream,
}

impl Link {
    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl Proxy {
    pub(super) fn new(server: &Server) -> Self {
        Self::at(Ipv4Addr::LOCALHOST, server)
    }

    /// Listens at this address of this machine.
    pub(super) fn at(address: Ipv4Addr, server: &Server) -> Self {
        let listener = TcpListener::bind((IpAddr::V4(address), 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            socket: server.socket(),
            held: Mutex::default(),
            is_released: Condvar::new(),
            links: Mutex::default(),
            cuts: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            number_of_cuts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.is_over.load(SeqCst) {
                    return;
                }
                accept(&of_thread, client.unwrap());
            }
        });
        Self { address, shared }
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// From now on each connection is cut at a random byte of either direction, or no more is.
    pub(super) fn set_cuts(&self, cuts: bool) {
        self.shared.cuts.store(cuts, SeqCst);
    }

    /// How many connections were cut.
    pub(super) fn cuts(&self) -> u64 {
        self.shared.number_of_cuts.load(SeqCst)
    }

    /// From now on each new connection is ended at once, or no more is.
    pub(super) fn set_refuses(&self, refuses: bool) {
        self.shared.refuses.store(refuses, SeqCst);
    }

    /// How many connections were refused.
    pub(super) fn refused(&self) -> u64 {
        self.shared.refused.load(SeqCst)
    }

    /// From now on nothing passes these ways. What was held of the others goes on.
    pub(super) fn hold(&self, held: Held) {
        *self.shared.held.lock().unwrap() = held;
        self.shared.is_released.notify_all();
    }

    /// How many connections their clients have given up while something of them was held.
    pub(super) fn given_up(&self) -> u64 {
        self.shared.given_up.load(SeqCst)
    }

    /// How many connections there are on either side.
    pub(super) fn links(&self) -> usize {
        let links = self.shared.links.lock().unwrap();
        links.iter().filter(|link| link.strong_count() > 0).count()
    }

    /// Cuts all connections. What is held of them is lost.
    pub(super) fn cut_all(&self) {
        for link in self.shared.links.lock().unwrap().drain(..) {
            if let Some(link) = link.upgrade() {
                self.shared.number_of_cuts.fetch_add(1, SeqCst);
                link.cut();
            }
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.is_over.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        self.cut_all();
        self.hold(Held::default());
    }
}

fn accept(shared: &Arc<Shared>, client: TcpStream) {
    // While there is no server, each connection ends at once.
    let server = UnixStream::connect(&shared.socket);
    let (false, Ok(server)) = (shared.refuses.load(SeqCst), server) else {
        shared.refused.fetch_add(1, SeqCst);
        return;
    };
    client.set_nodelay(true).unwrap();
    let link = Arc::new(Link { client, server });
    let mut links = shared.links.lock().unwrap();
    links.retain(|link| link.strong_count() > 0);
    links.push(Arc::downgrade(&link));
    drop(links);
    // One of the two directions is cut first.
    let mut random = Random::new();
    for is_reply in [false, true] {
        let (sender, chunks) = channel();
        let pipe = Pipe {
            shared: shared.clone(),
            link: link.clone(),
            is_reply,
            left: random_size(&mut random),
        };
        let reader = pipe.clone();
        thread::spawn(move || reader.read_all(&sender));
        thread::spawn(move || pipe.write_all(&chunks));
    }
}

/// Any number of bytes up to 32 KiB. Many connections end with their first requests, and some last.
fn random_size(random: &mut Random) -> usize {
    let most = 1 << (9 + random.below(7));
    random.below(most)
}

/// One direction of a connection. A thread reads and another one writes, so that the end is seen
/// while something is held.
#[derive(Clone)]
struct Pipe {
    shared: Arc<Shared>,
    link: Arc<Link>,
    is_reply: bool,
    /// How many bytes are left before it is cut.
    left: usize,
}

impl Pipe {
    fn read_all(&self, chunks: &Sender<Vec<u8>>) {
        let mut buffer = [0; 16384];
        let read = |buffer: &mut [u8]| match self.is_reply {
            true => (&self.link.server).read(buffer),
            false => (&self.link.client).read(buffer),
        };
        while let Ok(read @ 1..) = read(&mut buffer) {
            if chunks.send(buffer[..read].to_vec()).is_err() {
                return;
            }
        }
        let held = *self.shared.held.lock().unwrap();
        if !self.is_reply && (held.requests || held.replies) {
            self.shared.given_up.fetch_add(1, SeqCst);
        }
    }

    fn write_all(mut self, chunks: &Receiver<Vec<u8>>) {
        for chunk in chunks {
            self.wait();
            let most = match self.shared.cuts.load(SeqCst) {
                true => chunk.len().min(self.left),
                false => chunk.len(),
            };
            self.left = self.left.saturating_sub(most);
            let is_written = self.write(&chunk[..most]).is_ok();
            if most < chunk.len() {
                self.shared.number_of_cuts.fetch_add(1, SeqCst);
                self.link.cut();
            }
            if most < chunk.len() || !is_written {
                break;
            }
        }
        // A client that has left may have sent requests before.
        match self.is_reply {
            true => self.link.cut(),
            false => _ = self.link.server.shutdown(Shutdown::Write),
        }
    }

    fn write(&self, bytes: &[u8]) -> std::io::Result<()> {
        match self.is_reply {
            true => (&self.link.client).write_all(bytes),
            false => (&self.link.server).write_all(bytes),
        }
    }

    /// Waits while nothing passes this way.
    fn wait(&self) {
        let is_held = |held: &mut Held| match self.is_reply {
            true => held.replies,
            false => held.requests,
        };
        let held = self.shared.held.lock().unwrap();
        let _held = self.shared.is_released.wait_while(held, is_held).unwrap();
    }
}
