//! A Redis server for the tests of this process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio, id};
use std::sync::LazyLock;
use std::{env, fs, thread};

/// Runs the server until there is no more to read, and then removes its folder.
const SCRIPT: &str = r#"
folder=$1
redis-server --port 0 --unixsocket "$folder/redis.sock" --dir "$folder" --save '' \
    --appendonly yes --appendfsync no 2>&1 &
server=$!
# The log ends with the server.
exec 3<&0 > /dev/null
cat <&3
kill "$server"
wait "$server"
rm -rf "$folder"
"#;

struct Server {
    address: String,
    /// Its input is open as long as this process runs.
    _shell: Child,
}

static SERVER: LazyLock<Server> = LazyLock::new(start);

/// Returns its address. It has no jobs in a namespace that no other test uses.
pub(crate) fn address() -> &'static str {
    &SERVER.address
}

fn start() -> Server {
    let version = Command::new("redis-server").arg("--version").output();
    assert!(
        version.is_ok(),
        "no redis-server: `apt install redis-server`"
    );
    // The path of a socket is short.
    let folder = env::temp_dir().join(format!("millhand-programs-{}", id()));
    fs::create_dir_all(&folder).unwrap();
    let mut shell = Command::new("sh")
        .args(["-c", SCRIPT, "sh"])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(shell.stdout.take().unwrap()).lines();
    let mut log = String::new();
    while !log.contains("ready to accept connections at") {
        let line = lines
            .next()
            .unwrap_or_else(|| panic!("redis-server has ended: {log}"));
        log.push_str(&line.unwrap());
    }
    // The server would stop at a pipe that is full.
    thread::spawn(move || lines.for_each(drop));
    Server {
        address: format!("redis+unix://{}/redis.sock", folder.display()),
        _shell: shell,
    }
}
