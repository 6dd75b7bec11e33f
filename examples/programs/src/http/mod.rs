//! HTTP/1.1 for a blocking server, over the sockets of std.
//!
//! [`Connection`] reads requests with limits of size and of time, and writes responses. It knows
//! keep-alive, pipelining, `Content-Length`, chunked bodies and `Expect: 100-continue`. What two
//! readers may understand differently is refused.
//!
//! In this order:
//!
//! - `head`: the line and the headers of a request, pure.
//! - `chunked`: a body in chunks, pure.
//! - `reader`: a whole request, from anything that can be read until a deadline.
//! - `response`: what is answered.
//! - `connection`: a socket, and what ends it.

mod chunked;
mod connection;
mod head;
mod reader;
mod response;

pub use connection::{Connection, linger};
pub use head::Request;
pub use reader::{Limits, Refusal};
pub use response::Response;
