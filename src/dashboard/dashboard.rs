//! The dashboard as users see it: its options, and its handle.
//!
//! Layer: dashboard.

use crate::dashboard::access::{self, Access};
use crate::dashboard::api::Api;
use crate::dashboard::error::ServeError;
use crate::dashboard::panel::Panel;
use crate::dashboard::server::Server;
use crate::pool::{Pool, PoolHandle};
use std::fmt;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};

const MAX_ROWS: usize = 10_000;
/// How many characters a token must have.
const LEAST_TOKEN: usize = 16;

/// Shows running pools as a page for a browser, until it is dropped.
///
/// The page shows counts and the throughput, what each worker runs and for how long, what waits
/// and for which gate, the slowest and the failed tasks with error texts and submit sites, the
/// schedules with their next runs, and the [histograms](crate::pool::PoolBuilder::histograms) of
/// times. It asks for new numbers each second.
///
/// Guide: [observability](crate::guide::observability).
///
/// # Paths
///
/// | path | what |
/// | --- | --- |
/// | `GET /` | the page |
/// | `GET /metrics` | the counts of all pools in the text format of Prometheus |
/// | `GET /stats.json` | the [`Stats`](crate::observe::Stats) of all pools |
/// | `GET /tasks.json` | the [`TaskTable`](crate::observe::TaskTable) of all pools; of the first alone with `?pool=0` |
///
/// # Cost
///
/// An acceptor thread, and up to 8 threads for connections, which are started when needed and exit
/// when idle. There is no event loop, no worker is held, and each request is answered on one short
/// connection. Further connections get a 503. A request with its reply has 5 seconds; its head may
/// have 8 KiB, its body 4, and a reply in JSON 4 MiB. Two threads at most are in calls of panels,
/// and one at a time looks at the live tasks. While the dashboard exists, the sampler of each pool
/// runs.
///
/// # Who may ask
///
/// Any process of this machine, as the server listens on a loopback address unless
/// [`allow_remote`](DashboardBuilder::allow_remote) is given. A request whose `Host` is not
/// `localhost`, `127.0.0.1`, `[::1]`, the address that was served, or a name from
/// [`allow_host`](DashboardBuilder::allow_host) is refused, so no other site can read the page
/// through a browser. A request for data that another site has a browser make is refused by its
/// `Sec-Fetch-Site`. There is no encryption.
///
/// The page is read-only unless [`allow_control`](DashboardBuilder::allow_control) sets a token.
/// With that token it cancels tasks, pauses and resumes schedules, changes the number of workers,
/// and calls the actions of [panels](Panel).
///
/// # Its end
///
/// The drop joins its threads, also while clients are connected. A [panel](Panel) that hangs holds
/// it up, and so does the hook of a task that the page cancels: for 5 seconds at most. Then the
/// threads are left to themselves, with a warning in the log, and end with what they wait for.
///
/// The dashboard holds [`PoolHandle`]s, so it does not keep a pool open.
///
/// ```
/// use millhand::ThreadPool;
/// use millhand::dashboard::Dashboard;
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// let mails = ThreadPool::builder().workers(2).name_prefix("mails").build()?;
/// let page = Dashboard::builder().pool(&mails).serve("127.0.0.1:0")?;
/// println!("see http://{}/", page.local_addr());
///
/// let mut client = TcpStream::connect(page.local_addr())?;
/// client.write_all(b"GET /stats.json HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
/// let mut reply = String::new();
/// client.read_to_string(&mut reply)?;
/// assert!(reply.contains(r#""pool":"mails""#));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the page is gone once this is dropped"]
pub struct Dashboard {
    server: Server,
}

impl Dashboard {
    /// Begins the options of a dashboard.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let page = Dashboard::builder().pool(&pool).max_rows(50).serve("127.0.0.1:0")?;
    /// # drop(page);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> DashboardBuilder {
        DashboardBuilder::default()
    }

    /// Returns the address that the server listens on: with the port that the system chose, if port
    /// 0 was asked for.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let page = Dashboard::builder().pool(&pool).serve("127.0.0.1:0")?;
    /// assert_ne!(page.local_addr().port(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn local_addr(&self) -> SocketAddr {
        self.server.address()
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.server.stop();
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { server } = self;
        f.debug_struct("Dashboard")
            .field("local_addr", &server.address())
            .finish_non_exhaustive()
    }
}

/// Collects the options of a [`Dashboard`], and starts it. Returned by [`Dashboard::builder`].
///
/// ```
/// use millhand::dashboard::Dashboard;
///
/// let pool = millhand::ThreadPool::new(1)?;
/// let page = Dashboard::builder().pool(&pool).serve("127.0.0.1:0")?;
/// # drop(page);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Guide: [observability](crate::guide::observability).
#[must_use = "nothing is served before `serve`"]
pub struct DashboardBuilder {
    pools: Vec<PoolHandle>,
    panels: Vec<Box<dyn Panel>>,
    access: Access,
    max_rows: usize,
    allows_remote: bool,
}

impl Default for DashboardBuilder {
    fn default() -> Self {
        Self {
            pools: Vec::new(),
            panels: Vec::new(),
            access: Access::default(),
            max_rows: 200,
            allows_remote: false,
        }
    }
}

impl DashboardBuilder {
    /// Adds a pool. The page shows them in this order, each by its
    /// [`name_prefix`](crate::pool::PoolBuilder::name_prefix).
    ///
    /// ```
    /// use millhand::ThreadPool;
    /// use millhand::dashboard::Dashboard;
    ///
    /// let (reads, writes) = (ThreadPool::new(4)?, ThreadPool::new(1)?);
    /// let page = Dashboard::builder().pool(&reads).pool(&writes.handle()).serve("127.0.0.1:0")?;
    /// # drop(page);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pool(mut self, pool: &Pool) -> Self {
        self.pools.push(PoolHandle::new(pool.core().clone()));
        self
    }

    /// Adds a part that the program fills; see [`Panel`].
    ///
    /// ```
    /// use millhand::dashboard::{Dashboard, Panel};
    ///
    /// struct Version;
    ///
    /// impl Panel for Version {
    ///     fn title(&self) -> String {
    ///         "version".into()
    ///     }
    ///
    ///     fn json(&self) -> String {
    ///         r#""1.2.3""#.into()
    ///     }
    /// }
    ///
    /// let page = Dashboard::builder().panel(Version).serve("127.0.0.1:0")?;
    /// # drop(page);
    /// # Ok::<(), millhand::dashboard::ServeError>(())
    /// ```
    pub fn panel(mut self, panel: impl Panel + 'static) -> Self {
        self.panels.push(Box::new(panel));
        self
    }

    /// Allows one more name of this server: a `Host` without its port, such as `build.example.com`,
    /// `192.168.1.7` or `[fe80::1]`. Default: `localhost`, `127.0.0.1` and `[::1]` alone, and the
    /// address that is served, unless it stands for all of the machine.
    ///
    /// It must be a name that leads to this machine and to no other: it is what keeps other sites
    /// from reading the page through a browser.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// // Behind a proxy that adds encryption and passwords.
    /// let page = Dashboard::builder().pool(&pool).allow_host("jobs.example.com").serve("127.0.0.1:0")?;
    /// # drop(page);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.access.hosts.push(name.into());
        self
    }

    /// Chooses whether the address may be one that other machines reach. Default: no.
    ///
    /// They then need a name from [`allow_host`](Self::allow_host). Nothing is encrypted, and there
    /// is no password for what is shown: use it in a network where all may see it.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let page = Dashboard::builder()
    ///     .pool(&pool)
    ///     .allow_remote(true)
    ///     .allow_host("192.168.1.7")
    ///     .serve("0.0.0.0:0")?;
    /// # drop(page);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_remote(mut self, allow: bool) -> Self {
        self.allows_remote = allow;
        self
    }

    /// Allows changes to those who know this token: to cancel a task, to pause and resume a
    /// schedule, to change the number of workers, and the actions of panels. Default: read-only.
    ///
    /// The page asks for the token. A program sends it as `Authorization: Bearer TOKEN`. It has at
    /// least 16 characters of visible ASCII. Make it random: attempts are not limited. It is not
    /// encrypted on its way. The log has a warning for a wrong token, one a second at most, and an
    /// info record for each change.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    ///
    /// let token = std::env::var("DASHBOARD_TOKEN").unwrap_or("f2c5ae0c8e1d47b3".into());
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let page = Dashboard::builder().pool(&pool).allow_control(token).serve("127.0.0.1:0")?;
    /// # drop(page);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn allow_control(mut self, token: impl Into<String>) -> Self {
        self.access.token = Some(token.into());
        self
    }

    /// Sets how many tasks a reply lists at most, from 1 to 10,000. Default: 200. Those that run
    /// for longest come first.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let page = Dashboard::builder().pool(&pool).max_rows(50).serve("127.0.0.1:0")?;
    /// # drop(page);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_rows(mut self, rows: usize) -> Self {
        self.max_rows = rows;
        self
    }

    /// Starts the server at this address. Port 0 has the system choose one; see
    /// [`local_addr`](Dashboard::local_addr).
    ///
    /// # Errors
    /// If an option is not allowed, if the address does not belong to the loopback and
    /// [`allow_remote`](Self::allow_remote) was not given, if the system refuses the address or a
    /// thread, and if a pool belongs to a simulation.
    ///
    /// ```
    /// use millhand::dashboard::Dashboard;
    ///
    /// let pool = millhand::ThreadPool::new(1)?;
    /// let page = Dashboard::builder().pool(&pool).serve(("localhost", 0))?;
    /// assert!(page.local_addr().ip().is_loopback());
    /// // The port is taken.
    /// assert!(Dashboard::builder().pool(&pool).serve(page.local_addr()).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn serve(mut self, address: impl ToSocketAddrs) -> Result<Dashboard, ServeError> {
        self.check()?;
        let resolved = address.to_socket_addrs();
        let resolved =
            resolved.map_err(|error| ServeError::of_system("resolve its address", error))?;
        let addresses: Vec<_> = resolved.collect();
        let is_remote = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
        if !self.allows_remote && addresses.iter().any(is_remote) {
            let allowed = "one of the loopback, such as 127.0.0.1:9944, without `allow_remote`";
            return Err(ServeError::invalid("serve", allowed));
        }
        let listener = TcpListener::bind(&*addresses)
            .map_err(|error| ServeError::of_system(format!("listen on {addresses:?}"), error))?;
        self.access
            .hosts
            .iter_mut()
            .for_each(|host| host.make_ascii_lowercase());
        let address = listener.local_addr();
        let address = address.map_err(|error| ServeError::of_system("read its address", error))?;
        if !address.ip().is_unspecified() {
            self.access.hosts.push(access::name_of_ip(address.ip()));
        }
        let api = Api::new(self.pools, self.panels, self.access, self.max_rows);
        let server = Server::start(listener, api)
            .map_err(|error| ServeError::of_system("start its thread", error))?;
        Ok(Dashboard { server })
    }

    fn check(&self) -> Result<(), ServeError> {
        let Self {
            pools,
            panels,
            access,
            max_rows,
            allows_remote: _,
        } = self;
        if pools.is_empty() && panels.is_empty() {
            return Err(ServeError::invalid("pool", "given, or `panel`"));
        }
        if pools.iter().any(|pool| pool.core().clock().is_simulated()) {
            return Err(ServeError::invalid("pool", "none of a simulation"));
        }
        if !(1..=MAX_ROWS).contains(max_rows) {
            return Err(ServeError::invalid("max_rows", "from 1 to 10,000"));
        }
        let is_good = |token: &String| {
            token.len() >= LEAST_TOKEN && token.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !access.token.iter().all(is_good) {
            return Err(ServeError::invalid(
                "allow_control",
                "at least 16 characters of visible ASCII",
            ));
        }
        if !access.hosts.iter().all(|host| access::is_name(host)) {
            return Err(ServeError::invalid(
                "allow_host",
                "a host name, or an address, IPv6 in brackets: without a scheme, a port or `*`",
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for DashboardBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pools,
            panels,
            access,
            max_rows,
            allows_remote,
        } = self;
        f.debug_struct("DashboardBuilder")
            .field("pools", pools)
            .field("panels", &panels.len())
            .field("access", access)
            .field("max_rows", max_rows)
            .field("allows_remote", allows_remote)
            .finish()
    }
}
