//! A Redis server for the tests: one for the process, and others with other settings.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread;

/// A server that ends when this is dropped, or when this process ends in whatever way.
pub(crate) struct Server {
    folder: PathBuf,
    settings: Vec<String>,
    /// Runs the server, and ends it when its input is closed.
    shell: Child,
}

/// Runs the server until there is no more to read, and then removes its folder.
const SCRIPT: &str = r#"
folder=$1; shift
redis-server --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --save '' "$@" 2>&1 &
server=$!
# The log ends with the server.
exec 3<&0 > /dev/null
cat <&3
kill -KILL "$server" 2> /dev/null
{ wait "$server"; } 2> /dev/null
[ -e "$folder/stays" ] || rm -rf "$folder"
"#;

impl Server {
    /// Starts a server with these settings.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let version = Command::new("redis-server").arg("--version").output();
        assert!(
            version.is_ok(),
            "no redis-server: `apt install redis-server`"
        );
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("millhand-redis-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let settings: Vec<String> = settings.iter().map(|it| (*it).to_owned()).collect();
        Self {
            shell: run(&folder, &settings),
            folder,
            settings,
        }
    }

    /// That of this process.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&[]));
        &SHARED
    }

    /// Ends the server. What it has written to its disk stays.
    pub(crate) fn stop(&mut self) {
        std::fs::write(self.folder.join("stays"), "").unwrap();
        self.end();
    }

    /// Starts a server that was stopped.
    pub(crate) fn go_on(&mut self) {
        std::fs::remove_file(self.folder.join("stays")).unwrap();
        self.shell = run(&self.folder, &self.settings);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    fn end(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn run(folder: &Path, settings: &[String]) -> Child {
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(folder)
        .args(settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut log = Vec::new();
    while let Some(line) = lines.next() {
        log.push(line.unwrap());
        if log
            .last()
            .unwrap()
            .contains("ready to accept connections at")
        {
            // The server would stop at a pipe that is full.
            thread::spawn(move || lines.for_each(drop));
            return shell;
        }
    }
    let status = shell.wait();
    panic!("redis-server has ended: {status:?}: {}", log.join("\n"));
}

/// Begins to answer what a Redis server answers at an opening, and gives each script a number as
/// its answer. That of the request goes before it, or another one if it lies.
pub(crate) struct Fake {
    port: u16,
    lies_next: Arc<AtomicBool>,
    connections: Arc<AtomicU32>,
}

impl Fake {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let lies_next = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicU32::new(0));
        let (lies, count) = (lies_next.clone(), connections.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                let (client, lies) = (client.unwrap(), lies.clone());
                thread::spawn(move || speak(&client, &lies));
            }
        });
        Self {
            port,
            lies_next,
            connections,
        }
    }

    /// The next answer of a script is that of another request.
    pub(crate) fn lie_next(&self) {
        self.lies_next.store(true, Ordering::SeqCst);
    }

    /// How many there were so far.
    pub(crate) fn connections(&self) -> u32 {
        self.connections.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }
}

fn speak(client: &TcpStream, lies: &AtomicBool) -> Option<()> {
    let mut lines = BufReader::new(client).lines();
    let (mut next, mut client) = (move || lines.next()?.ok(), client);
    loop {
        // `*count`, and for each word its length and itself. No word of these has a line end.
        let count: usize = next()?.strip_prefix('*')?.parse().ok()?;
        let mut words = Vec::new();
        for _ in 0..count {
            next()?;
            words.push(next()?);
        }
        let answer = match words[0].as_str() {
            "INFO" => bulk("redis_version:7.0.0"),
            "GET" => "$-1\r\n".to_owned(),
            "EVALSHA" => {
                let number: u64 = words[5].parse().ok()?;
                let lie = u64::from(lies.swap(false, Ordering::SeqCst));
                let number = bulk(&number.saturating_sub(lie).to_string());
                format!("*2\r\n{number}{}", bulk("42"))
            }
            _ => "+OK\r\n".to_owned(),
        };
        client.write_all(answer.as_bytes()).ok()?;
    }
}

fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// Stands between a client and a server, and loses answers.
pub(crate) struct Proxy {
    port: u16,
    loses_next: Arc<AtomicBool>,
}

impl Proxy {
    pub(crate) fn new(server: &Server) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let loses_next = Arc::new(AtomicBool::new(false));
        let (socket, loses) = (server.socket(), loses_next.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                pass(
                    client.unwrap(),
                    UnixStream::connect(&socket).unwrap(),
                    &loses,
                );
            }
        });
        Self { port, loses_next }
    }

    /// The next answer is lost, and its connection, too.
    pub(crate) fn lose_next(&self) {
        self.loses_next.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_lost(&self) -> bool {
        !self.loses_next.load(Ordering::SeqCst)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

/// Passes on what both say.
fn pass(client: TcpStream, server: UnixStream, loses: &Arc<AtomicBool>) {
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    let (mut client, mut server, loses) = (client, server, loses.clone());
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(read @ 1..) = server.read(&mut buffer) {
            // Whether a connection is tried first depends on the time.
            let is_lost = !buffer.starts_with(b"+PONG") && loses.swap(false, Ordering::SeqCst);
            if is_lost || client.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    });
}
