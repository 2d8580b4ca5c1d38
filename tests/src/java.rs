//! Java, which brokers run on.

use std::path::Path;
use std::process::Command;

use crate::programs;

/// The command for a class of Kafka's jars, with a heap of `megabytes`.
pub(crate) fn java(folder: &Path, megabytes: usize, main: &str) -> Command {
    let mut java = Command::new("java");
    // Fast to start rather than fast in the long run, unless a benchmark says otherwise.
    let options = std::env::var("RIVULET_TEST_JAVA_OPTIONS")
        .unwrap_or_else(|_| format!("-Xmx{megabytes}m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"));
    java.args(options.split_whitespace())
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            programs::source("kafka/log4j2.properties").display()
        ))
        .arg("-cp")
        .arg(programs::kafka_jars().join("*"))
        .arg(main)
        .current_dir(folder);
    java
}

/// Fails because Java cannot be started.
pub(crate) fn missing(error: &std::io::Error) -> ! {
    panic!("java does not run ({error}): run `make test`, which installs it")
}
