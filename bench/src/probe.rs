//! Observes a process from outside: its committed offset, CPU time and memory.

use std::error::Error;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// A process that reads one topic of one partition as a consumer group.
pub(crate) struct Probe {
    client: BaseConsumer,
    topic: String,
    process: u32,
}

const WAIT: Duration = Duration::from_secs(10);
/// The unit of CPU time in `/proc`, independent of the kernel's tick rate: `USER_HZ`.
const TICKS_PER_SECOND: f64 = 100.0;

impl Probe {
    pub(crate) fn new(
        brokers: &str,
        group: &str,
        topic: &str,
        process: u32,
    ) -> Result<Self, Box<dyn Error>> {
        let client = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", group)
            .set("isolation.level", "read_uncommitted")
            .create()?;
        Ok(Probe {
            client,
            topic: topic.to_owned(),
            process,
        })
    }

    /// The offset that a reader commits after the last record.
    pub(crate) fn end(&self) -> Result<i64, Box<dyn Error>> {
        // The last offset is that of a transaction marker.
        Ok(self.client.fetch_watermarks(&self.topic, 0, WAIT)?.1 - 1)
    }

    /// The committed offset of the group; `None` before its first commit.
    pub(crate) fn committed(&self) -> Result<Option<i64>, Box<dyn Error>> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.topic, 0);
        let committed = self.client.committed_offsets(list, WAIT)?;
        Ok(committed
            .elements()
            .first()
            .and_then(|element| match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }))
    }

    /// The CPU time of the process with all its threads.
    pub(crate) fn cpu(&self) -> Result<Duration, Box<dyn Error>> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process))?;
        // The name, in parentheses, may have spaces; the fields after it have none. See proc(5).
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .unwrap_or_default()
            .split(' ')
            .collect();
        let ticks = fields.get(11..13).ok_or("a short /proc/PID/stat")?;
        let ticks = ticks
            .iter()
            .map(|ticks| ticks.parse::<f64>())
            .sum::<Result<f64, _>>()?;
        Ok(Duration::from_secs_f64(ticks / TICKS_PER_SECOND))
    }

    /// The peak memory of the process so far, in megabytes.
    pub(crate) fn peak_memory(&self) -> Result<f64, Box<dyn Error>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .ok_or("no VmHWM")?;
        let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }
}
