//! How much memory a command may take that reads whole topics: [`MemoryLimit`].

use std::fs;
use std::path::Path;

use rivulet_core::error::{Error, Kind, Result};
use rivulet_core::limits::Limits;
use rivulet_core::size::Size;
use rivulet_core::topic_source::ReadAmount;

/// The most memory that a command takes which keeps what it reads. The whole process counts. Where
/// there is no `/proc`, there is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimit {
    most: Size,
    is_given: bool,
}

impl MemoryLimit {
    /// The memory that the user allows, or else half of what is available: what is computed between
    /// two topics may double what was read.
    #[must_use]
    pub fn new(given: Option<Limits>) -> Self {
        MemoryLimit {
            most: given.map_or_else(
                || Size(available().map_or(u64::MAX, |bytes| bytes / 2)),
                Limits::memory,
            ),
            is_given: given.is_some(),
        }
    }

    /// Checks how much memory the process takes now. `help` is what to do about too much.
    ///
    /// # Errors
    /// If it takes too much.
    pub fn check(&self, amount: ReadAmount<'_>, help: &str) -> Result<()> {
        self.check_used(resident().unwrap_or_default(), amount, help)
    }

    fn check_used(&self, used: u64, amount: ReadAmount<'_>, help: &str) -> Result<()> {
        if Size(used) <= self.most {
            return Ok(());
        }
        let ReadAmount {
            topic,
            records,
            offsets,
        } = amount;
        let whose = if self.is_given {
            "that --memory-max allows"
        } else {
            "that are half of what was free"
        };
        let cause = format!(
            "it takes more than the {} of memory {whose}, after {records} records of this topic, \
             which has {offsets} offsets",
            self.most
        );
        Err(Error::new(format!("reading {topic}"), cause)
            .of_kind(Kind::TooLarge)
            .help(help))
    }
}

/// The bytes of memory that the process takes. The pages of the program itself do not count: the
/// kernel can drop them.
fn resident() -> Option<u64> {
    field(&fs::read_to_string("/proc/self/status").ok()?, "RssAnon:")
}

/// The bytes of memory that a process can still take: of the machine, and of its control groups.
fn available() -> Option<u64> {
    let machine = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")?;
    let group = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group.lines().find_map(|line| line.strip_prefix("0::/"));
    let folder = Path::new("/sys/fs/cgroup").join(group.unwrap_or_default());
    let limits = folder.ancestors().filter_map(|folder| {
        fs::read_to_string(folder.join("memory.max"))
            .ok()?
            .trim()
            .parse()
            .ok()
    });
    limits.chain([machine]).min()
}

/// A line of `/proc` such as `RssAnon:    1234 kB`, in bytes.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AMOUNT: ReadAmount<'_> = ReadAmount {
        topic: "t",
        records: 2048,
        offsets: 9000,
    };

    #[test]
    fn too_much_is_an_error_that_says_what_was_read_and_what_to_do() {
        let limit = MemoryLimit::new(Limits::new(Size(64_000_000)).ok());
        assert!(limit.check_used(64_000_000, AMOUNT, "do").is_ok());
        let error = limit.check_used(64_000_001, AMOUNT, "do").unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge);
        assert_eq!(
            error.to_string(),
            "reading t: it takes more than the 64 MB of memory that --memory-max allows, after \
             2048 records of this topic, which has 9000 offsets\n  help: do"
        );
    }

    #[test]
    fn by_default_it_is_a_part_of_what_is_available() {
        let (limit, available) = (MemoryLimit::new(None), available().unwrap());
        // Other programs take and free some meanwhile.
        let Size(most) = limit.most;
        assert!(most > available / 4 && most < available, "{limit:?}");
        assert!(limit.check(AMOUNT, "do").is_ok());
        assert!(resident().unwrap() > 1_000_000);
    }

    #[test]
    fn a_line_of_proc_is_in_kilobytes_of_1024() {
        let text = "VmPeak:\t 9 kB\nRssAnon:\t    1234 kB\n";
        assert_eq!(field(text, "RssAnon:"), Some(1234 * 1024));
        assert_eq!(field(text, "VmSwap:"), None);
    }
}
