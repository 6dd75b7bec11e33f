//! The connections: one task each.

use crate::routes::Service;
use millhand::cancel::CancelToken;
use millhand::{Pool, sleep};
use millhand_programs::http::{Connection, Limits};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// How long the accepting task waits when the system has no socket for it.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the connection that ends the accepting task may take.
const WAKE: Duration = Duration::from_secs(1);

/// What a connection needs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) service: Arc<Service>,
    pub(crate) limits: Limits,
    /// Cancelled when the service ends.
    pub(crate) stop: CancelToken,
}

impl Server {
    /// Accepts connections, in a task of its own, until `stop` is cancelled.
    pub(crate) fn accept(self, pool: &Pool, listener: TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        // With the token as its own, the task sees the end also while it waits for a permit.
        let accepts = pool.task().name("accept").token(&self.stop);
        accepts.execute(move || {
            // `accept` sees no token, but a connection ends it. If too many wait outside already,
            // this one gets no place. Then the task waits for a permit, and the token ends that.
            let wake = move |_| drop(TcpStream::connect_timeout(&reach(address), WAKE));
            let _hook = self.stop.on_cancel(wake);
            while !self.stop.is_cancelled() {
                match listener.accept() {
                    Ok(_) if self.stop.is_cancelled() => {} // the one that ends this
                    Ok((stream, _)) => self.start(stream),
                    Err(error) => {
                        log::warn!("a connection was not accepted: {error}");
                        let _ = sleep(PAUSE); // `stop` ends it early, and then the loop
                    }
                }
            }
        });
        Ok(())
    }

    /// Starts the task of a connection. While there are too many, it waits here, and those that
    /// are not accepted wait outside.
    fn start(&self, stream: TcpStream) {
        let Ok(permit) = self.service.slots.acquire() else {
            return; // the service ends
        };
        let server = self.clone();
        let current = millhand::current().expect("the accepting task runs here");
        current.pool().execute(move || {
            server.serve(stream);
            drop(permit);
        });
    }

    fn serve(&self, stream: TcpStream) {
        let connection = match Connection::new(stream, self.limits.clone(), &self.stop) {
            Ok(connection) => connection,
            Err(error) => return log::debug!("a connection was lost: {error}"),
        };
        // A shutdown that has drained for too long ends the waits for the client.
        let stream = connection.stream().clone();
        let token = millhand::current().expect("a task runs here").token();
        let _hook = token.on_cancel(move |_| drop(stream.shutdown(Shutdown::Both)));
        let mut place = None;
        let upgraded = connection.serve(|request| {
            let response = self.service.answer(request, &mut place);
            log::debug!("{} {}: {}", request.method, request.path, response.status);
            match self.service.slots.available() {
                // So that a client that waits outside gets its turn.
                0 if response.status != 101 => response.header("Connection", "close"),
                _ => response,
            }
        });
        if let (Some((stream, read)), Some(place)) = (upgraded, place) {
            self.service.sockets.take(stream, read, place);
        }
    }
}

/// The address under which a listener is reached from here.
fn reach(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}
