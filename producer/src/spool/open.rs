//! Opening a spool: its files are found, and what is damaged is cut off.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::Path;
use std::{fs, io};

use rivulet_core::error::{Error, Kind, Result as OrError};
use rivulet_pipeline::SpoolSettings;

use super::disk::{Disk, SystemDisk};
use super::record::SpoolRecord;
use super::segment::{Segment, SpoolId};
use super::{Spool, segment};
use crate::unique::unique;

/// The largest file in bytes. A full spool drops one file at a time.
const LARGEST_FILE: u64 = 4_000_000;

/// The smallest number of files in a full spool.
pub(super) const FILES: u64 = 16;

impl Spool {
    /// Opens the spool in a folder, and creates the folder if it does not exist. Truncates what a
    /// power cut left incomplete. `from_start` deletes everything in the spool.
    ///
    /// # Errors
    /// If the folder is not accessible, another process uses it, or it has files of another spool.
    pub fn open(folder: &Path, settings: &SpoolSettings, from_start: bool) -> OrError<Self> {
        Self::open_on(Box::new(SystemDisk), folder, settings, from_start)
    }

    pub(super) fn open_on(
        disk: Box<dyn Disk>,
        folder: &Path,
        settings: &SpoolSettings,
        from_start: bool,
    ) -> OrError<Self> {
        let failed = |error| open_error(folder, error);
        fs::create_dir_all(folder)
            .and_then(|()| sync_parent(folder))
            .map_err(failed)?;
        let lock = File::options()
            .create(true)
            .append(true)
            .open(folder.join("lock"))
            .map_err(failed)?;
        lock.try_lock().map_err(|error| {
            let doing = format!("opening the spool {}", folder.display());
            Error::new(doing, error).of_kind(Kind::Conflict).help(
                "another process uses it: stop that process, or give each stage its own folder",
            )
        })?;
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            found.push(entry.map_err(failed)?.path());
        }
        found.retain(|path| path.extension().is_some_and(|ending| ending == "spool"));
        found.sort_unstable();
        if from_start && !found.is_empty() {
            tracing::warn!(spool = %folder.display(), "deleting everything in the spool");
            for path in found.drain(..) {
                fs::remove_file(path).map_err(failed)?;
            }
        }
        let (mut position, mut epoch_offsets) = (None, BTreeMap::new());

        let (mut files, mut id): (VecDeque<Segment>, Option<SpoolId>) = (VecDeque::new(), None);
        for (index, path) in found.iter().enumerate() {
            let is_last = index + 1 == found.len();
            let scan = segment::scan(path, &mut |record| match record {
                SpoolRecord::Position(json) => position = Some((*json).to_owned()),
                SpoolRecord::Anchor { boot, offset } => _ = epoch_offsets.insert(*boot, *offset),
                SpoolRecord::Reading(..) | SpoolRecord::Record(_) | SpoolRecord::Bad { .. } => {}
            });
            let Some(scan) = scan.map_err(failed)? else {
                remove_without_header(path).map_err(failed)?;
                continue;
            };
            if *id.get_or_insert(scan.id) != scan.id {
                return Err(Error::new(
                    format!("opening the spool {}", folder.display()),
                    "it has files of two spools",
                )
                .help("remove the files that do not belong there"));
            }
            if let Some((cause, bytes)) = scan.incomplete {
                let Segment { base, end, .. } = scan.segment;
                tracing::warn!(
                    file = %path.display(),
                    bytes,
                    records = end - base,
                    "spool file truncated after its last complete record: {cause}"
                );
                if is_last {
                    let file = File::options().write(true).open(path).map_err(failed)?;
                    file.set_len(scan.segment.bytes)
                        .and_then(|()| file.sync_all())
                        .map_err(failed)?;
                }
            }
            files.push_back(scan.segment);
        }
        let id = id.unwrap_or_else(unique);
        let last = match files.back() {
            Some(segment) => {
                let mut file = disk.open(&segment.path).map_err(failed)?;
                // A process may have been killed between a write and its sync.
                file.sync().map_err(failed)?;
                file
            }
            None => {
                let (segment, file) = segment::create(&*disk, folder, id, 0).map_err(failed)?;
                files.push_back(segment);
                file
            }
        };
        let next = files.back().map_or(0, |segment| segment.end);
        Ok(Spool {
            disk,
            folder: folder.to_owned(),
            size: settings.size,
            file_size: (settings.size / FILES).min(LARGEST_FILE),
            when_full: settings.when_full,
            id,
            _lock: lock,
            files,
            last: Some(last),
            batch: Vec::new(),
            counted: 0,
            next_push: next,
            opened_at: next,
            segment: None,
            // Until `seek`, nothing counts as sent.
            next_pop: 0,
            dropped: 0,
            position,
            epoch_offsets,
        })
    }
}

fn open_error(folder: &Path, error: io::Error) -> Error {
    Error::caused_by(format!("opening the spool {}", folder.display()), error).help(
        "let this user read and write the folder, or give another with `spool = { path = … }`",
    )
}

/// Makes a new folder survive a power cut.
fn sync_parent(folder: &Path) -> io::Result<()> {
    match folder.parent() {
        Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Deletes a file that was being created when the power was cut. It has no records yet.
fn remove_without_header(path: &Path) -> io::Result<()> {
    tracing::warn!(
        file = %path.display(),
        bytes = fs::metadata(path)?.len(),
        "spool file deleted: its header is incomplete"
    );
    fs::remove_file(path)
}
