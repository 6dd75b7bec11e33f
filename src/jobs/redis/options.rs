//! How a storage is opened.
//!
//! Layer: jobs.

use crate::jobs::error::JobsError;
use crate::jobs::names::MAX_PAYLOAD;
use crate::jobs::redis::storage::Redis;
#[cfg(feature = "redis-tls")]
use crate::jobs::redis::tls::Certificates;
use crate::testing::Clock;
use std::fmt;
use std::time::Duration;

/// Opens a [`Redis`] with other options than the defaults. From [`Redis::options`].
///
/// ```no_run
/// use millhand::jobs::Redis;
/// use std::time::Duration;
///
/// let storage = Redis::options("redis://:password@10.0.0.5/2")
///     .namespace("shop")
///     .patience(Duration::from_secs(10))
///     .open()?;
/// # Ok::<(), millhand::jobs::JobsError>(())
/// ```
///
/// Guide: [jobs](crate::guide::jobs).
#[derive(Clone)]
#[must_use = "it does nothing until `open` is called"]
pub struct RedisOptions {
    pub(super) url: String,
    pub(super) namespace: String,
    pub(super) patience: Duration,
    pub(super) clock: Option<Clock>,
    pub(super) max_payload: usize,
    pub(super) replicas: usize,
    pub(super) allows_eviction: bool,
    #[cfg(feature = "redis-tls")]
    pub(super) certificates: Certificates,
}

impl RedisOptions {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            namespace: "millhand".to_owned(),
            patience: Duration::from_secs(30),
            clock: None,
            max_payload: MAX_PAYLOAD,
            replicas: 0,
            allows_eviction: false,
            #[cfg(feature = "redis-tls")]
            certificates: Certificates::default(),
        }
    }

    /// Sets with what all keys begin, in braces: storages with other names are others, also on the
    /// same server. A name as a queue has one. Default: `millhand`.
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = name.into();
        self
    }

    /// Sets for how long a call waits for a server that cannot be reached. Then it ends with
    /// [`Unreachable`](crate::jobs::JobsErrorKind::Unreachable). Default: 30 seconds.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets the clock by which jobs are due, and leases end, in place of the server's. For tests:
    /// all processes that use the namespace must agree on the time. Default: the server's.
    pub fn clock(mut self, clock: impl Into<Clock>) -> Self {
        self.clock = Some(clock.into());
        self
    }

    /// Sets how many bytes a payload may have. Default: [`MAX_PAYLOAD`].
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// Sets how many replicas must have a job before its enqueue returns, so that a failover does
    /// not take it. If they do not have it within 4 seconds, the enqueue ends with
    /// [`Unreachable`](crate::jobs::JobsErrorKind::Unreachable), though the job is stored.
    /// Default: 0.
    pub fn replicas(mut self, count: usize) -> Self {
        self.replicas = count;
        self
    }

    /// Accepts the certificate of a server only if this authority has signed it. For a private
    /// authority. `pem` is its certificate, or several, as the text of a `.pem` or `.crt` file has
    /// them. The address must begin with `rediss`, and have the name of the server that is in its
    /// certificate. Default: the authorities of the system and of the web.
    ///
    /// ```no_run
    /// use millhand::jobs::Redis;
    ///
    /// let authority = std::fs::read("/etc/ssl/private-authority.pem")?;
    /// let storage = Redis::options("rediss://user:password@redis.example.org/")
    ///     .root_certificate(authority)
    ///     .open()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "redis-tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.root = Some(pem.into());
        self
    }

    /// Sets the certificate by which the server knows this program, and its private key. Both are
    /// texts in PEM. For a server with `tls-auth-clients yes`, which is its default. Default: none.
    #[cfg(feature = "redis-tls")]
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.certificates.own = Some((pem.into(), key.into()));
        self
    }

    /// Accepts a server that removes any keys when its memory is full, and so jobs, too. Default:
    /// such a server is refused.
    pub fn allow_eviction(mut self) -> Self {
        self.allows_eviction = true;
        self
    }

    /// Connects, and looks at the settings of the server.
    ///
    /// # Errors
    /// [`Unreachable`](crate::jobs::JobsErrorKind::Unreachable) if the address cannot be read, if
    /// no server answers there for as long as the patience lasts, or if its version or its settings
    /// do not do.
    /// [`NewerSchema`](crate::jobs::JobsErrorKind::NewerSchema) if a newer version of this library
    /// has written to the namespace. [`Name`](crate::jobs::JobsErrorKind::Name) if the namespace is
    /// no name.
    pub fn open(self) -> Result<Redis, JobsError> {
        Redis::open_with(self)
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The address may have a password.
        let Self {
            url: _,
            namespace,
            patience,
            clock,
            max_payload,
            replicas,
            allows_eviction,
            #[cfg(feature = "redis-tls")]
            certificates,
        } = self;
        let mut out = f.debug_struct("RedisOptions");
        #[cfg(feature = "redis-tls")]
        out.field("certificates", certificates);
        out.field("namespace", namespace)
            .field("patience", patience)
            .field("clock", clock)
            .field("max_payload", max_payload)
            .field("replicas", replicas)
            .field("allows_eviction", allows_eviction)
            .finish_non_exhaustive()
    }
}
