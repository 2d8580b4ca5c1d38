//! What a producer does with readings that it cannot read again: its spool and its clock.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use rivulet_core::size::Size;

/// A store on disk for readings on their way to Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Table")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SpoolSettings {
    /// The folder that holds it and nothing else; relative to the pipeline file's.
    pub path: PathBuf,
    /// How much it may take on disk, in bytes.
    pub size: u64,
    /// Which readings are dropped when it is full.
    pub when_full: WhenFull,
    /// A reading is on the disk at the latest this long after it was taken.
    pub sync: Duration,
}

/// Which readings a full spool drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum WhenFull {
    /// The oldest readings.
    #[default]
    DropOldest,
    /// The newest readings.
    DropNewest,
}

/// What becomes of a reading that was measured before the machine's clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum ClockPolicy {
    /// It waits for the clock and gets the time it was measured at. If that can never be known, it
    /// becomes a dead letter.
    #[default]
    Repair,
    /// It becomes a dead letter.
    DeadLetter,
    /// It keeps the time of the clock, right or wrong.
    Trust,
}

/// The settings as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Table {
    /// The folder that holds the spool and nothing else; relative to the pipeline file's.
    path: Folder,
    /// How much the spool may take on disk, from 1 MB to 1 GB; 16 MB unless it is set.
    #[serde(default)]
    size: SpoolSize,
    /// Which readings a full spool drops.
    #[serde(default)]
    when_full: WhenFull,
    /// A reading is on the disk at the latest this long after it was taken; 500 unless it is set.
    #[serde(default)]
    sync_ms: Milliseconds,
}

impl From<Table> for SpoolSettings {
    fn from(
        Table {
            path,
            size,
            when_full,
            sync_ms,
        }: Table,
    ) -> Self {
        SpoolSettings {
            path: path.0,
            size: size.0,
            when_full,
            sync: Duration::from_millis(sync_ms.0),
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "PathBuf")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("minLength" = 1)))]
struct Folder(PathBuf);

impl TryFrom<PathBuf> for Folder {
    type Error = &'static str;

    fn try_from(path: PathBuf) -> Result<Self, Self::Error> {
        if path.as_os_str().is_empty() {
            return Err("the spool has no path; name a folder that holds nothing else");
        }
        Ok(Folder(path))
    }
}

#[derive(Deserialize)]
#[serde(try_from = "Size")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct SpoolSize(u64);

const MEGABYTE: u64 = 1_000_000;

impl Default for SpoolSize {
    fn default() -> Self {
        SpoolSize(16 * MEGABYTE)
    }
}

impl TryFrom<Size> for SpoolSize {
    type Error = String;

    fn try_from(size: Size) -> Result<Self, String> {
        if (MEGABYTE..=1000 * MEGABYTE).contains(&size.0) {
            Ok(SpoolSize(size.0))
        } else {
            Err(format!(
                "{size} is not a size for a spool; give one from \"1 MB\" to \"1 GB\""
            ))
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "i64")]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("minimum" = 0, "maximum" = 60_000))
)]
struct Milliseconds(u64);

impl Default for Milliseconds {
    fn default() -> Self {
        Milliseconds(500)
    }
}

impl TryFrom<i64> for Milliseconds {
    type Error = String;

    fn try_from(time: i64) -> Result<Self, String> {
        match u64::try_from(time) {
            Ok(time @ 0..=60_000) => Ok(Milliseconds(time)),
            _ => Err(format!(
                "{time} ms is out of range; give from 0, each reading for itself, to 60000"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::Text;
    use crate::pipeline::Pipeline;
    use crate::stage::StageKind;

    fn parse(lines: &str) -> Result<(Option<SpoolSettings>, ClockPolicy), String> {
        let text = format!("[producer.a]\nsource = \"thermal\"\nto = \"t\"\n{lines}\n");
        let pipeline = Pipeline::parse(Arc::new(Text {
            path: "p.toml".into(),
            text,
        }))
        .map_err(|all| all.to_string())?;
        match pipeline.stages.into_iter().next().map(|stage| stage.kind) {
            Some(StageKind::Producer { spool, clock, .. }) => Ok((spool, clock)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_are_sensible() {
        assert_eq!(parse("").unwrap(), (None, ClockPolicy::Repair));
        let (spool, clock) = parse("spool = { path = \"s\" }\nclock = \"dead-letter\"").unwrap();
        let (size, sync) = (16 * MEGABYTE, Duration::from_millis(500));
        assert_eq!(
            spool.unwrap(),
            SpoolSettings {
                path: "s".into(),
                size,
                when_full: WhenFull::DropOldest,
                sync
            }
        );
        assert_eq!(clock, ClockPolicy::DeadLetter);
    }

    #[test]
    fn sizes_have_bounds() {
        let size = |text| {
            parse(&format!("spool = {{ path = \"s\", size = \"{text}\" }}"))
                .map(|all| all.0.unwrap().size)
        };
        assert_eq!(size("2 MB"), Ok(2 * MEGABYTE));
        assert_eq!(size("1GB"), Ok(1000 * MEGABYTE));
        assert_eq!(size("1500 kB"), Ok(1_500_000));
        for wrong in ["0 MB", "999 kB", "2 GB", "1000 GB"] {
            assert!(
                size(wrong)
                    .unwrap_err()
                    .contains("give one from \"1 MB\" to \"1 GB\""),
                "{wrong}"
            );
        }
    }

    #[test]
    fn an_error_in_a_setting_is_explained() {
        let shown = |lines| parse(lines).unwrap_err();
        assert!(shown("spool = {}").contains("missing field `path`"));
        assert!(shown("spool = { path = \"\" }").contains("name a folder"));
        assert!(shown("spool = { path = \"s\", sync-ms = -1 }").contains("to 60000"));
        assert!(shown("spool = { path = \"s\", when-full = \"drop\" }").contains("drop-oldest"));
        assert!(
            shown("spool = { path = \"s\", sizze = \"1 MB\" }").contains("did you mean `size`?")
        );
        assert!(shown("clock = \"fix\"").contains("repair"));
    }

    #[test]
    fn two_stages_do_not_share_a_spool() {
        let shown = parse(
            "spool = { path = \"s\" }\n[producer.b]\nsource = \"thermal\"\nto = \"t\"\nspool = { \
             path = \"./s\" }",
        );
        assert!(shown.unwrap_err().contains("`b` and `a` share one spool"));
    }
}
