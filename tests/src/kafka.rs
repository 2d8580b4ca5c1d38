//! A broker: one node of Apache Kafka, on a free port of 127.0.0.1, with its own folder.

use std::fmt::Write as _;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use self::settings::{CONFIG, KRAFT, delayed};
use crate::java::java;
use crate::process::{Signal, send};
use crate::zookeeper::ZooKeeper;
use crate::{guard, java, programs, wait};

mod listeners;
mod settings;

/// A broker. It is stopped and removed on drop.
#[derive(Debug)]
pub struct Kafka {
    folder: PathBuf,
    port: u16,
    /// The names and ports of more listeners.
    listeners: Vec<(String, u16)>,
    /// The number of nodes in the cluster.
    nodes: usize,
    java: Option<Child>,
    /// Environment variables of its process.
    environment: Vec<(String, String)>,
    /// When it was killed.
    killed: Option<Instant>,
    /// ZooKeeper, for versions before Kafka 4. It ends after the last of its brokers.
    zookeeper: Option<Arc<ZooKeeper>>,
}

impl Kafka {
    /// The environment variable for the address of a broker that already runs.
    pub const BROKERS: &str = "RIVULET_TEST_BROKERS";
    /// The environment variable for the version of Kafka. The default is in `kafka/version`.
    pub const VERSION: &str = programs::KAFKA_VERSION;

    /// The address of the broker that all tests share: the one of `make test`, or one for this test
    /// process.
    #[must_use]
    pub fn shared() -> &'static str {
        static SHARED: OnceLock<String> = OnceLock::new();
        static OWN: OnceLock<Kafka> = OnceLock::new();
        let own = || OWN.get_or_init(|| Kafka::start(&[])).brokers();
        SHARED.get_or_init(|| std::env::var(Self::BROKERS).unwrap_or_else(|_| own()))
    }

    /// Starts a broker with more settings, and waits until it responds.
    #[must_use]
    pub fn start(settings: &[(&str, &str)]) -> Self {
        let mut kafka = Kafka::prepare(settings);
        kafka.run();
        kafka
    }

    /// A broker with an address and a folder, not started yet.
    #[must_use]
    pub fn prepare(settings: &[(&str, &str)]) -> Self {
        Kafka::node(1, &[[free_port(), free_port()]], settings)
    }

    /// Gives its process an environment variable from its next start on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The id of its process; `None` if it does not run.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.java.as_ref().map(Child::id)
    }

    /// Node `id` of several, counted from 1. `ports` are each node's ports for data and for the
    /// controller.
    pub(crate) fn node(id: usize, ports: &[[u16; 2]], settings: &[(&str, &str)]) -> Self {
        Kafka::member(id, ports, None, Self::zookeeper(), settings)
    }

    /// ZooKeeper for a cluster, if this version needs one.
    pub(crate) fn zookeeper() -> Option<Arc<ZooKeeper>> {
        let version = programs::kafka_version();
        let major = version
            .split('.')
            .next()
            .and_then(|number| number.parse::<u32>().ok());
        let major = major.unwrap_or_else(|| panic!("`{version}` is not a version of Kafka"));
        (major < 4).then(|| Arc::new(ZooKeeper::start()))
    }

    /// A node that shares a ZooKeeper with others. `proxy` is the port that a proxy passes
    /// connections on to, and the proxy's address.
    pub(crate) fn member(
        id: usize,
        ports: &[[u16; 2]],
        proxy: Option<(u16, SocketAddr)>,
        zookeeper: Option<Arc<ZooKeeper>>,
        settings: &[(&str, &str)],
    ) -> Self {
        let [port, controller] = ports[id - 1];
        let folder = guard::folder("kafka");
        let kafka = Kafka {
            folder,
            port,
            listeners: Vec::new(),
            nodes: ports.len(),
            java: None,
            environment: Vec::new(),
            killed: None,
            zookeeper,
        };
        let mut listeners = format!("PLAINTEXT://127.0.0.1:{port}");
        let mut advertised = listeners.clone();
        if let Some((proxied, address)) = proxy {
            write!(listeners, ",PROXIED://127.0.0.1:{proxied}")
                .expect("writing to a string succeeds");
            write!(advertised, ",PROXIED://{address}").expect("writing to a string succeeds");
        }
        let mut own = vec![("log.dirs", kafka.folder.join("data").display().to_string())];
        let mut config = CONFIG.to_owned();
        if let Some(zookeeper) = &kafka.zookeeper {
            own.push(("broker.id", id.to_string()));
            own.push(("zookeeper.connect", zookeeper.address()));
            own.push((
                "zookeeper.session.timeout.ms",
                ZooKeeper::SESSION.as_millis().to_string(),
            ));
        } else {
            let voters = ports
                .iter()
                .zip(1..)
                .map(|([_, controller], id)| format!("{id}@127.0.0.1:{controller}"));
            own.push(("node.id", id.to_string()));
            own.push((
                "controller.quorum.voters",
                voters.collect::<Vec<_>>().join(","),
            ));
            write!(listeners, ",CONTROLLER://127.0.0.1:{controller}")
                .expect("writing to a string succeeds");
            config += KRAFT;
        }
        own.push(("listeners", listeners));
        own.push(("advertised.listeners", advertised));
        let settings = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        for (name, value) in own.into_iter().chain(settings) {
            writeln!(config, "{name}={value}").expect("writing to a string succeeds");
        }
        std::fs::write(kafka.config(), config).expect("the folder is new");
        if kafka.zookeeper.is_none() {
            kafka.format();
        }
        kafka
    }

    fn format(&self) {
        let format = self
            .java("kafka.tools.StorageTool")
            .args([
                "format",
                "--cluster-id",
                "cml2dWxldC10ZXN0cy0wMQ",
                "--config",
            ])
            .arg(self.config())
            .output()
            .unwrap_or_else(|error| java::missing(&error));
        assert!(
            format.status.success(),
            "formatting the broker's folder: {}",
            String::from_utf8_lossy(&format.stderr)
        );
    }

    /// Starts or restarts the broker, and waits until it responds.
    pub fn run(&mut self) {
        self.launch();
        self.wait();
    }

    /// Starts the broker without waiting.
    pub(crate) fn launch(&mut self) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the folder is writable");
        let mut java = self.java("kafka.Kafka");
        java.arg(self.config());
        java.envs(self.environment.iter().cloned());
        let killed = self.killed.filter(|_| self.zookeeper.is_some());
        let rest = killed.map_or(Duration::ZERO, |killed| {
            ZooKeeper::FORGOTTEN.saturating_sub(killed.elapsed())
        });
        let java = delayed(rest, java)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("an open file"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| java::missing(&error));
        guard::watch(java.id());
        self.java = Some(java);
    }

    /// Waits until it responds and knows all nodes.
    pub(crate) fn wait(&mut self) {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.brokers())
            .set("reconnect.backoff.max.ms", "100")
            .create()
            .expect("the settings are valid");
        let answer = wait::until(wait::LONG, || {
            self.check();
            let metadata = client
                .fetch_metadata(None, Duration::from_millis(200))
                .ok()?;
            (metadata.brokers().len() == self.nodes).then_some(())
        });
        assert!(
            answer.is_some(),
            "the broker does not answer:\n{}",
            self.log_tail()
        );
    }

    /// Fails if it has ended by itself.
    pub(crate) fn check(&mut self) {
        let ended = self
            .java
            .as_mut()
            .and_then(|java| java.try_wait().expect("it is a child process"));
        assert!(
            ended.is_none(),
            "the broker ended ({}):\n{}",
            ended.unwrap_or_default(),
            self.log_tail()
        );
    }

    /// Its address.
    #[must_use]
    pub fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it, as a power cut does. Its data stays.
    pub fn kill(&mut self) {
        if let Some(mut java) = self.java.take() {
            java.kill().expect("it is a child process");
            java.wait().expect("it is a child process");
            guard::forget(java.id());
            self.killed = Some(Instant::now());
        }
    }

    /// Freezes it for a while: connections stay open, but it does not respond.
    pub fn hang(&self, time: Duration) {
        self.signal(Signal::Stop);
        std::thread::sleep(time);
        self.signal(Signal::Continue);
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        send(self.java.as_ref().expect("the broker runs").id(), signal);
    }

    /// Runs a command with this broker's address in [`BROKERS`](Self::BROKERS).
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run_command(&self, command: &Command) -> std::io::Result<ExitStatus> {
        // The command starts only when it is watched. Otherwise it would survive if this process
        // were killed now.
        let known = self.folder.join("known");
        let mut waiting = Command::new("sh");
        waiting.args([
            "-c",
            "until [ -e \"$0\" ]; do sleep 0.01; [ -d \"${0%/*}\" ] || exit 1; done; exec \"$@\"",
        ]);
        waiting
            .arg(&known)
            .arg(command.get_program())
            .args(command.get_args());
        let mut child = waiting.env(Self::BROKERS, self.brokers()).spawn()?;
        guard::watch(child.id());
        File::create(known)?;
        let status = child.wait();
        guard::forget(child.id());
        status
    }

    /// The folder with its settings, data and log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn config(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("kafka.log")
    }

    fn java(&self, main: &str) -> Command {
        // The nodes of a cluster share the memory.
        java(&self.folder, 512 / self.nodes, main)
    }

    fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.kill();
        guard::remove(&self.folder);
    }
}

/// A free port, below the range of ports for outgoing connections, so that it stays free.
#[must_use]
pub fn free_port() -> u16 {
    static COUNT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run in parallel start at different ports.
    let start = u16::try_from(std::process::id() % 10_000).expect("it is below 10,000");
    (0..10_000)
        .map(|_| 20_000 + (start + COUNT.fetch_add(1, Ordering::Relaxed)) % 10_000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("one of 10,000 ports is free")
}
