//! The metrics of the process and of its machine.

use std::fmt;

use super::families::Families;
use crate::observe::ObservedStage;
use crate::observe::process::ProcessUse;

/// When the certificates of the stages' Kafka clients expire.
pub(super) fn certificates(to: &mut Families<'_>, stages: &[ObservedStage]) -> fmt::Result {
    // The stages of a process have the same Kafka.
    let expiries = stages
        .first()
        .map(|stage| rivulet_kafka::certificate_expiries(&stage.properties))
        .unwrap_or_default();
    to.gauges(
        "rivulet_certificate_expiry_timestamp_seconds",
        "When the first of these certificates expires",
        expiries
            .iter()
            .map(|(certificate, expiry)| ([("certificate", *certificate)], *expiry as f64)),
    )
}

/// What the process uses.
pub(super) fn process(to: &mut Families<'_>, memory_limit: u64) -> fmt::Result {
    let uses = ProcessUse::now();
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        to.gauges::<[(&str, &str); 0]>(name, help, value.map(|value| ([], value)))
    };
    let count = |value: Option<u64>| value.map(|value| value as f64);
    gauge(
        "process_resident_memory_bytes",
        "Resident memory of the process",
        count(uses.resident_bytes),
    )?;
    gauge(
        "process_virtual_memory_bytes",
        "Virtual memory of the process",
        count(uses.virtual_bytes),
    )?;
    gauge(
        "process_start_time_seconds",
        "When the process started, since the epoch",
        uses.started,
    )?;
    gauge(
        "process_open_fds",
        "Open file descriptors",
        count(uses.open_files),
    )?;
    gauge(
        "process_max_fds",
        "The most open file descriptors",
        count(uses.most_files),
    )?;
    gauge(
        "rivulet_memory_limit_bytes",
        "The memory that the process stays within",
        Some(memory_limit as f64),
    )?;
    gauge(
        "rivulet_disk_available_bytes",
        "What may still be written to the file system of the working folder",
        uses.disk.map(|(available, _)| available as f64),
    )?;
    gauge(
        "rivulet_disk_size_bytes",
        "The size of the file system of the working folder",
        uses.disk.map(|(_, size)| size as f64),
    )?;
    to.float_counter(
        "process_cpu_seconds",
        "Processor time of the process",
        uses.cpu_seconds,
    )
}
