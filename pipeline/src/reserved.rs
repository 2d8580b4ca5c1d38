//! librdkafka's properties that cannot be set, because what rivulet promises rests on them.

/// Properties, and why they cannot be set.
struct Reserved {
    names: &'static [&'static str],
    why: &'static str,
    /// Whether they do no harm in a client file, which other programs use too: each client that
    /// they concern sets them itself.
    harmless_in_client_file: bool,
}

const RESERVED: &[Reserved] = &[
    Reserved {
        names: &["bootstrap.servers", "metadata.broker.list"],
        why: "write brokers = \"HOST:PORT,…\"",
        harmless_in_client_file: true,
    },
    Reserved {
        names: &["group.id", "transactional.id", "client.id"],
        why: "it is the stage's name",
        harmless_in_client_file: true,
    },
    Reserved {
        names: &["group.instance.id"],
        why: "it is STAGE@INSTANCE; give --instance",
        harmless_in_client_file: true,
    },
    Reserved {
        names: &[
            "enable.auto.commit",
            "enable.auto.offset.store",
            "enable.idempotence",
            "acks",
            "isolation.level",
            "delivery.report.only.error",
        ],
        why: "the guarantee rests on it; choose `guarantee` instead",
        harmless_in_client_file: true,
    },
    Reserved {
        names: &["request.required.acks", "auto.commit.enable"],
        why: "it is another name of a property that the guarantee rests on; choose `guarantee` \
              instead",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["message.max.bytes"],
        why: "it follows from the topics: set config = { \"max.message.bytes\" = … } in \
              [topic.NAME]",
        harmless_in_client_file: true,
    },
    Reserved {
        names: &["enable.partition.eof"],
        why: "stages find the end of a topic by themselves",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["partitioner", "partitioner_cb"],
        why: "a key must go to the partition that Java's clients put it in, or a sensor's readings \
              would be spread over several, and its state with them",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["partition.assignment.strategy", "group.remote.assignor"],
        why: "the same partition of several inputs must go to the same process, as a state needs \
              it, and all of them must be revoked before they are assigned to others",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["group.protocol", "group.protocol.type"],
        why: "with the new protocol a process that starts again is rejected until the session of \
              its predecessor ends, and partitions are not revoked all at once",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["auto.offset.reset"],
        why: "a stage goes on at its committed offset and nowhere else: a gap there must be \
              reported, not skipped",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["offset.store.method", "offset.store.path"],
        why: "offsets are committed in Kafka, together with the results",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["message.timeout.ms", "delivery.timeout.ms"],
        why: "how long a record may wait follows from the guarantee: as long as its transaction \
              may be open (\"transaction.timeout.ms\"), or until it is acknowledged",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &[
            "max.in.flight.requests.per.connection",
            "max.in.flight",
            "queuing.strategy",
        ],
        why: "it decides whether records keep their order when a request is repeated",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["enable.gapless.guarantee"],
        why: "it ends the producer where a stage rolls back to the last commit and tries again",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["allow.auto.create.topics"],
        why: "a topic that a broker makes by itself has neither the partitions nor the settings of \
              the file, and a changelog would not be compacted; make them with `rivulet topics \
              create`",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["log.connection.close"],
        why: "when a connection breaks, a copy of a commit can still arrive, and rivulet guards \
              against that only if it hears of the break",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["statistics.interval.ms"],
        why: "--metrics sets it for what it shows",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &[
            "api.version.request",
            "api.version.fallback.ms",
            "broker.version.fallback",
        ],
        why: "transactions need to know what the brokers can do, so they are always asked",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["enabled_events", "log.queue", "log_level"],
        why: "rivulet hears from librdkafka through it; set with RUST_LOG what it logs",
        harmless_in_client_file: false,
    },
    Reserved {
        names: &["test.mock.num.brokers", "test.mock.broker.rtt"],
        why: "it replaces your brokers with brokers in memory; `rivulet demo` does that",
        harmless_in_client_file: false,
    },
];

/// Why a property cannot be set in `[kafka]`, if it cannot.
pub(crate) fn in_table(name: &str) -> Option<&'static str> {
    reserved(name).map(|reserved| reserved.why)
}

/// Why a property cannot stand in a client file, if it cannot.
pub(crate) fn in_client_file(name: &str) -> Option<&'static str> {
    reserved(name)
        .filter(|reserved| !reserved.harmless_in_client_file)
        .map(|reserved| reserved.why)
}

/// All names that cannot be set in `[kafka]`.
#[must_use]
pub fn names() -> Vec<&'static str> {
    RESERVED
        .iter()
        .flat_map(|reserved| reserved.names)
        .copied()
        .collect()
}

fn reserved(name: &str) -> Option<&'static Reserved> {
    RESERVED
        .iter()
        .find(|reserved| reserved.names.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostic::Text;
    use crate::pipeline::Pipeline;

    fn diagnostics(folder: &std::path::Path, line: &str) -> String {
        let text = format!("[kafka]\n{line}\n[producer.p]\nsource = \"lines\"\nto = \"t\"\n");
        let parsed = Pipeline::parse(Arc::new(Text {
            path: folder.join("p.toml"),
            text,
        }));
        parsed.map_or_else(|diagnostics| diagnostics.to_string(), |_| String::new())
    }

    #[test]
    fn each_is_an_error_with_its_reason_where_it_stands() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        for Reserved {
            names,
            why,
            harmless_in_client_file,
        } in RESERVED
        {
            for name in *names {
                let shown = diagnostics(folder.path(), &format!("\"{name}\" = 1"));
                assert!(
                    shown.contains(&format!(
                        "p.toml:2:{}: `{name}` is not yours",
                        name.len() + 6
                    )),
                    "{shown}"
                );
                assert!(shown.contains(why), "{shown}");
                std::fs::write(folder.path().join("client.properties"), format!("{name}=1"))
                    .expect("a file in it");
                let shown = diagnostics(folder.path(), "include = \"client.properties\"");
                assert_eq!(
                    shown.is_empty(),
                    *harmless_in_client_file,
                    "{name}: {shown}"
                );
                let is_shown = ["client.properties", name, why]
                    .iter()
                    .all(|words| shown.contains(words));
                assert!(is_shown || shown.is_empty(), "{shown}");
            }
        }
    }

    #[test]
    fn each_stands_once() {
        let all: Vec<&str> = RESERVED
            .iter()
            .flat_map(|reserved| reserved.names)
            .copied()
            .collect();
        for name in &all {
            assert_eq!(
                all.iter().filter(|other| *other == name).count(),
                1,
                "{name}"
            );
        }
    }

    #[test]
    fn what_only_tunes_can_be_set() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        for name in [
            "linger.ms",
            "session.timeout.ms",
            "transaction.timeout.ms",
            "security.protocol",
            "debug",
        ] {
            assert_eq!(
                diagnostics(folder.path(), &format!("\"{name}\" = 1")),
                "",
                "{name}"
            );
        }
    }
}
