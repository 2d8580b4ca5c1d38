//! ZooKeeper, which stores the cluster's metadata before Kafka 4.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::java::{self, java};
use crate::kafka::free_port;
use crate::{guard, wait};

/// How often it looks for sessions that have timed out.
const TICK: Duration = Duration::from_millis(500);

/// One ZooKeeper on a free port of 127.0.0.1. It is stopped and removed on drop.
#[derive(Debug)]
pub(crate) struct ZooKeeper {
    folder: PathBuf,
    port: u16,
    java: Child,
}

impl ZooKeeper {
    /// The session timeout of a broker.
    pub(crate) const SESSION: Duration = Duration::from_secs(3);
    /// When the session of a killed broker has ended at the latest. Until then its id is in use,
    /// and the same broker would not start.
    pub(crate) const FORGOTTEN: Duration = Duration::from_secs(4);

    /// Starts it, and waits until it listens.
    pub(crate) fn start() -> Self {
        let (folder, port) = (guard::folder("zookeeper"), free_port());
        let config = format!(
            "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\ntickTime={}\n",
            folder.join("data").display(),
            TICK.as_millis()
        );
        std::fs::write(folder.join("zoo.cfg"), config).expect("the folder is new");
        let log = File::create(folder.join("zookeeper.log")).expect("the folder is writable");
        let java = java(
            &folder,
            128,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain",
        )
        .arg(folder.join("zoo.cfg"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("an open file"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| java::missing(&error));
        guard::watch(java.id());
        let mut zookeeper = ZooKeeper { folder, port, java };
        let listens = wait::until(wait::LONG, || {
            let ended = zookeeper
                .java
                .try_wait()
                .expect("it is a child process")
                .is_some();
            (ended || TcpStream::connect(zookeeper.address()).is_ok()).then_some(!ended)
        });
        let log = zookeeper.folder.join("zookeeper.log");
        assert_eq!(
            listens,
            Some(true),
            "no ZooKeeper: {}",
            std::fs::read_to_string(log).unwrap_or_default()
        );
        zookeeper
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.java.kill();
        let _ = self.java.wait();
        guard::forget(self.java.id());
        guard::remove(&self.folder);
    }
}
