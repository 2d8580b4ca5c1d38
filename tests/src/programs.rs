//! Where cargo has put the programs, and Maven the jars of Kafka.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder that this test was built into, such as `target/debug`.
fn profile() -> PathBuf {
    let exe = std::env::current_exe().expect("a process knows its own file");
    let folder = exe.parent().expect("a file is in a folder");
    let folder = if folder.ends_with("deps") {
        folder.parent().expect("cargo's deps are in a folder")
    } else {
        folder
    };
    folder.to_owned()
}

/// The path of one of the project's programs.
///
/// # Panics
/// If it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let file = profile().join(name);
    assert!(
        file.is_file(),
        "{} does not exist: run `make test`, or `cargo build --workspace --bins` first",
        file.display()
    );
    file
}

/// Hides the user's own settings of rivulet from a command.
pub fn forget_settings(command: &mut Command) {
    for setting in [
        "PIPELINE",
        "COMMAND_CONFIG",
        "BROKERS",
        "PREFIX",
        "GUARANTEE",
        "MEMORY_MAX",
        "INSTANCE",
        "METRICS",
        "METRICS_FROM",
        "STALLED_AFTER",
        "LOG",
        "TARGETS",
        "WEB",
    ] {
        command.env_remove(format!("RIVULET_{setting}"));
    }
    command.env_remove("RUST_LOG");
    command.env_remove("NO_COLOR");
}

/// The environment variable for the version of Kafka.
pub(crate) const KAFKA_VERSION: &str = "RIVULET_TEST_KAFKA";

/// The version of Kafka to run.
pub(crate) fn kafka_version() -> String {
    let asked = std::env::var(KAFKA_VERSION)
        .ok()
        .filter(|version| !version.is_empty());
    asked.unwrap_or_else(|| include_str!("../kafka/version").trim().to_owned())
}

/// The folder that everything is built into.
#[must_use]
pub fn target() -> PathBuf {
    let profile = profile();
    let target = profile.parent();
    target
        .expect("a profile is in the target folder")
        .to_owned()
}

/// The folder with Kafka's jars.
pub(crate) fn kafka_jars() -> PathBuf {
    let version = kafka_version();
    let jars = target().join("kafka").join(&version).join("libs");
    assert!(
        jars.is_dir(),
        "{} does not exist: run `make test`, or `scripts/kafka-jars {version}` first",
        jars.display()
    );
    jars
}

/// A file in this package.
pub(crate) fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
