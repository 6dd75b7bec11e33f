//! `Redis`, by TLS. Certificates are made by `openssl`.

use crate::redis_server::{Proxy, Server};
use millhand::jobs::{Batch, JobsErrorKind, NewJob, Notifier, Redis, RedisOptions, Storage};
use std::fs::{create_dir_all, read, remove_dir_all, write};
use std::path::PathBuf;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(600);

/// A folder with the certificates of an authority, of a server and of a program, and their keys.
struct Authority {
    folder: PathBuf,
    /// Where a server with its certificate is. No other process has this address.
    host: String,
    port: String,
}

/// An address of this process alone: Linux answers at all that begin with 127.
fn host(number: u8) -> String {
    let [_, a, b, c] = process::id().to_be_bytes();
    // A process has a number of 22 bits at most.
    format!("127.{}.{b}.{c}", a + 100 * number)
}

impl Authority {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("millhand-tls-{}-{number}", process::id());
        let it = Self {
            folder: std::env::temp_dir().join(name),
            host: host(0),
            port: (20_000 + number).to_string(),
        };
        create_dir_all(&it.folder).unwrap();
        it.openssl("req -x509 -nodes -days 2 -subj /CN=authority -out ca.crt -keyout ca.key");
        let names = format!("subjectAltName=IP:{}", it.host);
        write(it.folder.join("server.ext"), names).unwrap();
        write(it.folder.join("program.ext"), "subjectAltName=DNS:program").unwrap();
        for who in ["server", "program"] {
            it.openssl(&format!(
                "req -nodes -subj /CN={who} -out {who}.csr -keyout {who}.key"
            ));
            it.openssl(&format!(
                "x509 -req -in {who}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
                 -extfile {who}.ext -out {who}.crt"
            ));
        }
        it
    }

    fn openssl(&self, line: &str) {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace());
        if line.starts_with("req") {
            command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        }
        let output = command.current_dir(&self.folder).output();
        let output = output.expect("no openssl: `apt install openssl`");
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}: {log}");
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn pem(&self, name: &str) -> Vec<u8> {
        read(self.folder.join(name)).unwrap()
    }

    /// A server with a port for TLS alone.
    fn server(&self, settings: &[&str]) -> Server {
        self.server_at(&self.host, settings)
    }

    fn server_at(&self, host: &str, settings: &[&str]) -> Server {
        let (certificate, key) = (self.path("server.crt"), self.path("server.key"));
        let authority = self.path("ca.crt");
        let mut all = vec!["--bind", host, "--tls-port", &self.port];
        all.extend(["--tls-cert-file", &certificate, "--tls-key-file", &key]);
        all.extend(["--tls-ca-cert-file", &authority]);
        all.extend(settings);
        Server::start(&all)
    }

    fn options(&self) -> RedisOptions {
        Redis::options(format!("rediss://{}:{}/", self.host, self.port)).patience(LONG)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = remove_dir_all(&self.folder);
    }
}

/// Why it does not open.
fn refused(options: RedisOptions) -> String {
    let error = options.open().unwrap_err();
    assert_eq!(error.kind(), JobsErrorKind::Unreachable, "{error}");
    error.to_string()
}

/// Why it does not open, when it is reached. On a busy machine that may take too long.
fn refused_in_time(url: &str, late: &[&str]) -> String {
    loop {
        let found = refused(Redis::options(url).patience(Duration::ZERO));
        if !late.iter().any(|text| found.contains(text)) {
            return found;
        }
    }
}

fn store_one(storage: &Redis) {
    let jobs = &[NewJob::new("mail", "welcome", "x".repeat(100_000))];
    storage.enqueue(&Batch { number: None, jobs }).unwrap();
    assert_eq!(storage.counts().unwrap().queues[0].ready, 1);
}

#[test]
fn a_job_goes_through_tls_and_other_certificates_are_refused() {
    let authority = Authority::new();
    let _server = authority.server(&["--tls-auth-clients", "no"]);
    let options = || authority.options();
    let storage = options().root_certificate(authority.pem("ca.crt"));
    let storage = storage.open().unwrap();
    let notifier = Notifier::new();
    let _subscribed = storage.subscribe(&["mail"], &notifier).unwrap();
    let listening = notifier.listen();
    store_one(&storage);
    assert_eq!(listening.wait_timeout(LONG), Ok(true));
    let other = Authority::new();
    for options in [options(), options().root_certificate(other.pem("ca.crt"))] {
        let found = refused(options);
        assert!(
            found.contains("`RedisOptions::root_certificate`"),
            "{found}"
        );
    }
    // An address that is not in the certificate.
    let _elsewhere = authority.server_at(&host(1), &["--tls-auth-clients", "no"]);
    let url = format!("rediss://{}:{}/", host(1), authority.port);
    let options = Redis::options(url).patience(LONG);
    let found = refused(options.root_certificate(authority.pem("ca.crt")));
    assert!(found.contains("see its names"), "{found}");
}

#[test]
fn a_port_without_tls_and_one_with_it_are_not_mistaken() {
    let server = Server::start(&[]);
    let url = format!("rediss://{}/", Proxy::new(&server).address());
    let found = refused_in_time(&url, &["timed out"]);
    assert!(found.contains("the handshake of TLS failed"), "{found}");
    let authority = Authority::new();
    let _server = authority.server(&[]);
    let url = format!("redis://{}:{}/", authority.host, authority.port);
    let found = refused_in_time(&url, &["timed out", "temporarily unavailable"]);
    assert!(found.contains("begins with `rediss`"), "{found}");
    // Of one that is not there nothing is known.
    let url = format!("rediss://{}:1/", authority.host);
    let found = refused_in_time(&url, &["timed out"]);
    assert!(!found.contains("TLS"), "{found}");
}

#[test]
fn a_server_may_want_a_certificate_of_the_program() {
    let authority = Authority::new();
    let _server = authority.server(&[]);
    let options = || {
        let options = authority.options();
        options.root_certificate(authority.pem("ca.crt"))
    };
    let found = refused(options());
    assert!(
        found.contains("`RedisOptions::client_certificate`"),
        "{found}"
    );
    let (own, key) = (authority.pem("program.crt"), authority.pem("program.key"));
    let with_own = options().client_certificate(own, key);
    let key = String::from_utf8(authority.pem("program.key")).unwrap();
    assert!(!format!("{with_own:?}").contains(&key[40..60]));
    store_one(&with_own.open().unwrap());
    let other = Authority::new();
    let (own, key) = (other.pem("program.crt"), other.pem("program.key"));
    let found = refused(options().client_certificate(own, key));
    assert!(
        found.contains("`RedisOptions::client_certificate`"),
        "{found}"
    );
}

#[test]
fn what_is_no_certificate_is_refused_with_what_to_do() {
    let plain = || Redis::options("rediss://127.0.0.1:1/").patience(LONG);
    let authority = Authority::new();
    let own = authority.pem("program.crt");
    for options in [
        plain().root_certificate(""),
        plain().root_certificate("-----BEGIN CERTIFICATE-----\nno\n"),
        plain().client_certificate("", ""),
        plain().client_certificate(own, "no key"),
        Redis::options("redis://127.0.0.1:1/").root_certificate(authority.pem("ca.crt")),
    ] {
        let found = refused(options);
        assert!(found.contains("PEM"), "{found}");
    }
}
