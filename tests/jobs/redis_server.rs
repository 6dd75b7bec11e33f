//! A Redis server for the tests: one for the process, and others with other settings.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A server that ends when this is dropped, or when this process ends in whatever way.
pub(crate) struct Server {
    socket: PathBuf,
    /// Runs the server.
    shell: Child,
    /// The shell ends the server when this is closed.
    stdin: Option<ChildStdin>,
}

/// Runs the server until there is no more to read, and then removes its folder.
const SCRIPT: &str = r#"
folder=$1; shift
redis-server --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --save '' "$@" &
server=$!
exec 3<&0
cat <&3 > /dev/null
kill "$server"
wait "$server"
rm -rf "$folder"
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
        let mut shell = Command::new("sh")
            .args(["-c", SCRIPT, "sh"])
            .arg(&folder)
            .args(settings)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
        let mut log = Vec::new();
        loop {
            let Some(line) = lines.next() else {
                panic!("redis-server has ended: {}", log.join("\n"));
            };
            log.push(line.unwrap());
            if log
                .last()
                .unwrap()
                .contains("ready to accept connections at")
            {
                break;
            }
        }
        // The server would stop at a pipe that is full.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            socket: folder.join("redis.sock"),
            stdin: shell.stdin.take(),
            shell,
        }
    }

    /// That of this process.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Server> = LazyLock::new(|| Server::start(&[]));
        &SHARED
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.shell.wait();
    }
}
