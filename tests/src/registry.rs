//! A schema registry: Apicurio, behind a relay that can fail.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::kafka::free_port;
use crate::{Certificate, Process, guard, programs, wait};

const NO_PANIC: &str = "nothing panics while it holds this";

/// A schema registry with the interface of Confluent's. It is stopped on drop.
#[derive(Debug)]
pub struct SchemaRegistry {
    java: Process,
    folder: PathBuf,
    /// The port for requests of the test itself.
    port: u16,
    relay: SocketAddr,
    has_tls: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    answer: Answer,
    /// The connections of clients.
    open: Vec<TcpStream>,
    /// How each request began that was answered with a status.
    asked: Vec<String>,
}

/// What the relay does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It passes the request on to the registry.
    Registry,
    /// It answers with this status instead.
    Status(u16),
    /// It closes the connection, as if nobody listened.
    Nothing,
}

impl SchemaRegistry {
    /// Starts a registry without schemas, and waits until it answers.
    #[must_use]
    pub fn start() -> Self {
        Self::run(None)
    }

    /// The same over TLS. Its certificate is in the file `ca.pem` of the folder.
    #[must_use]
    pub fn with_tls(folder: &Path) -> Self {
        let own = Certificate::self_signed("127.0.0.1");
        let files = [
            ("files", "ca.pem", own.pem()),
            ("key-files", "key.pem", own.key_pem()),
        ];
        Self::run(Some(files.map(|(option, name, pem)| {
            let file = folder.join(name);
            std::fs::write(&file, pem).expect("the folder is there");
            format!("-Dquarkus.http.ssl.certificate.{option}={}", file.display())
        })))
    }

    fn run(tls: Option<[String; 2]>) -> Self {
        let folder = guard::folder("registry");
        let [port, secure] = [free_port(), free_port()];
        let has_tls = tls.is_some();
        let to = if has_tls { secure } else { port };
        let java = Process::start(
            "the schema registry",
            Command::new("java")
                .args("-Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1".split(' '))
                .args(["-Dquarkus.log.level=WARN", "-Dquarkus.banner.enabled=false"])
                .arg("-Dquarkus.http.host=127.0.0.1")
                .arg(format!("-Dquarkus.http.port={port}"))
                .arg(format!("-Dquarkus.http.ssl-port={secure}"))
                .args(tls.into_iter().flatten())
                .arg("-jar")
                .arg(jar())
                .current_dir(&folder),
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let relay = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Mutex::new(Shared {
            answer: Answer::Registry,
            open: Vec::new(),
            asked: Vec::new(),
        }));
        let of_thread = shared.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                of_thread
                    .lock()
                    .expect(NO_PANIC)
                    .open
                    .extend(client.try_clone());
                let shared = of_thread.clone();
                thread::spawn(move || {
                    let _ = serve(&client, to, &shared);
                    client.shutdown(Shutdown::Both)
                });
            }
        });
        let registry = SchemaRegistry {
            java,
            folder,
            port,
            relay,
            has_tls,
            shared,
        };
        wait::until_true("the schema registry answers", || {
            registry.request("GET", "/subjects", "").starts_with('[')
        });
        registry
    }

    /// The URL of its Confluent interface.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}/apis/ccompat/v7", self.relay)
    }

    /// What happens to all requests from now on.
    pub fn answers(&self, answer: Answer) {
        let mut shared = self.shared.lock().expect(NO_PANIC);
        shared.answer = answer;
        // Clients keep their connections for the next request.
        for client in shared.open.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }

    /// How each request began that was answered with a status.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.shared.lock().expect(NO_PANIC).asked.clone()
    }

    /// Registers a schema, and returns its id.
    #[must_use]
    pub fn register(&self, subject: &str, schema: &str) -> u8 {
        let body = serde_json::json!({ "schema": schema }).to_string();
        let answer = self.request("POST", &format!("/subjects/{subject}/versions"), &body);
        let id = answer
            .strip_prefix("{\"id\":")
            .and_then(|rest| rest.strip_suffix('}'));
        id.and_then(|id| id.parse().ok()).expect(&answer)
    }

    /// The body of the answer to a request. Empty if there is none.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: &str) -> String {
        let ask = || {
            let mut connection = TcpStream::connect(("127.0.0.1", self.port))?;
            connection.set_read_timeout(Some(wait::LONG))?;
            write!(
                connection,
                "{method} /apis/ccompat/v7{path} HTTP/1.0\r\nHost: localhost\r\nConnection: \
                 close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok::<_, io::Error>(answer)
        };
        let answer = ask().unwrap_or_default();
        let body = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned());
        body.unwrap_or_default()
    }
}

impl Drop for SchemaRegistry {
    fn drop(&mut self) {
        self.java.kill();
        guard::remove(&self.folder);
    }
}

/// The archive that `scripts/registry-jars` has unpacked.
fn jar() -> PathBuf {
    let folder = programs::target().join("registry");
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut paths = files.map(|file| file.path());
    paths
        .find(|path| path.to_string_lossy().ends_with("-runner.jar"))
        .unwrap_or_else(|| {
            panic!(
                "there is no registry in {}: run `make test`, or `scripts/registry-jars` first",
                folder.display()
            )
        })
}

/// A connection of a client. Whatever fails ends it.
fn serve(mut client: &TcpStream, to: u16, shared: &Mutex<Shared>) -> io::Result<()> {
    let answer = shared.lock().expect(NO_PANIC).answer;
    match answer {
        Answer::Nothing => Ok(()),
        Answer::Status(status) => {
            let mut head = [0; 16 << 10];
            let length = client.read(&mut head)?;
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            shared.lock().expect(NO_PANIC).asked.push(head);
            let body = format!("{{\"error_code\":{status},\"message\":\"out of order\"}}");
            write!(
                client,
                "HTTP/1.1 {status} Failed\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        }
        Answer::Registry => {
            let mut registry = TcpStream::connect(("127.0.0.1", to))?;
            let (mut answers, mut back) = (registry.try_clone()?, client.try_clone()?);
            thread::spawn(move || {
                let copied = io::copy(&mut answers, &mut back);
                back.shutdown(Shutdown::Both).and(copied)
            });
            io::copy(&mut client, &mut registry)?;
            registry.shutdown(Shutdown::Both)
        }
    }
}
