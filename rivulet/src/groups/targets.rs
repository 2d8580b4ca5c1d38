//! Where processes say whether they are ready: [`ProcessTargets`], a file of targets of Prometheus.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rivulet_core::error::{Error, Kind, Result};
use serde::Deserialize;

/// The size of the largest file of targets, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// What a file of targets looks like.
const EXAMPLE: &str = "write [{\"targets\": [\"10.42.0.250:9464\"], \"labels\": {\"stage\": \
                       \"ewma\", \"node\": \"rpi0\"}}], as the playbook does";

/// The processes of a pipeline, from a file that Prometheus reads, too (`file_sd_configs`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTargets {
    /// The file.
    pub path: PathBuf,
    /// The processes, in its order.
    pub targets: Vec<ProcessTarget>,
}

/// Where one process says whether it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTarget {
    /// The address of `--metrics`, as HOST:PORT.
    pub address: String,
    /// The stage that it should run.
    pub stage: Option<String>,
    /// The node that it runs on.
    pub node: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetGroup {
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

impl ProcessTargets {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or is not a list of targets. The error has the place.
    pub fn read(path: &Path) -> Result<Self> {
        let doing = format!("reading the targets in {}", path.display());
        let failed = |error| {
            Error::caused_by(&*doing, error)
                .or_help("the playbook writes it beside the inventory; name it with --targets FILE")
        };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        let length = file.take(LARGEST + 1).read_to_string(&mut text);
        if length.map_err(failed)? as u64 > LARGEST {
            return Err(Error::new(doing, "it has more than 1 MiB")
                .of_kind(Kind::TooLarge)
                .help(EXAMPLE));
        }
        let targets = parsed(&text).map_err(|cause| {
            Error::new(doing, cause)
                .of_kind(Kind::Corrupt)
                .help(EXAMPLE)
        })?;
        Ok(ProcessTargets {
            path: path.to_owned(),
            targets,
        })
    }
}

fn parsed(text: &str) -> Result<Vec<ProcessTarget>, String> {
    let groups: Vec<TargetGroup> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut targets = Vec::new();
    for (
        number,
        TargetGroup {
            targets: of,
            labels,
        },
    ) in (1..).zip(groups)
    {
        let label = |name: &str| labels.get(name).filter(|label| !label.is_empty()).cloned();
        for address in of {
            if !is_address(&address) {
                return Err(format!(
                    "`{address}` in the entry {number} of the list is not HOST:PORT"
                ));
            }
            targets.push(ProcessTarget {
                address,
                stage: label("stage"),
                node: label("node"),
            });
        }
    }
    Ok(targets)
}

fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_host = match in_brackets {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !host.is_empty() && host.chars().all(is_legal)
        }
    };
    is_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_a_process_with_the_labels_of_its_entry() {
        let text = r#"[
            {"targets": ["10.42.0.250:9464", "[::1]:9465"],
             "labels": {"stage": "ewma", "node": "rpi0", "job": "rivulet"}},
            {"targets": ["rpi-1.local:9464"], "labels": {"stage": ""}},
            {"targets": []}
        ]"#;
        let target = |address: &str, labels: Option<(&str, &str)>| ProcessTarget {
            address: address.into(),
            stage: labels.map(|(stage, _)| stage.into()),
            node: labels.map(|(_, node)| node.into()),
        };
        let labels = Some(("ewma", "rpi0"));
        assert_eq!(
            parsed(text).unwrap(),
            [
                target("10.42.0.250:9464", labels),
                target("[::1]:9465", labels),
                target("rpi-1.local:9464", None)
            ]
        );
        assert_eq!(parsed("[]"), Ok(vec![]));
    }

    #[test]
    fn an_error_has_its_place_and_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("targets.json");
        let error = |text: &str| {
            std::fs::write(&path, text).unwrap();
            ProcessTargets::read(&path).unwrap_err()
        };
        for (text, words) in [
            (
                "[\n  {\"target\": []}\n]",
                "unknown field `target`, expected `targets` or `labels` at line 2",
            ),
            ("[\n  {}\n]", "missing field `targets` at line 2"),
            ("- targets: [a:1]", "at line 1 column"),
            (
                "[{\"targets\": [\"a:1\"]},\n{\"targets\": [\"http://a:1/\\u001b\"]}]",
                "`http://a:1/\\u{1b}` in the entry 2 of the list is not HOST:PORT",
            ),
        ] {
            let error = error(text);
            assert_eq!(error.kind(), Kind::Corrupt);
            let said = error.to_string();
            let begin = format!("reading the targets in {}: ", path.display());
            assert!(said.starts_with(&begin) && said.contains(words), "{said}");
            assert!(said.contains("help: write [{\"targets\""), "{said}");
        }
        for address in [
            "a", "a:", ":1", "a:0", "a:65536", "a b:1", "a/b:1", "u@a:1", "[a]:1",
        ] {
            let error = error(&format!("[{{\"targets\": [{address:?}]}}]")).to_string();
            assert!(error.contains("is not HOST:PORT"), "{error}");
        }
        let error = ProcessTargets::read(&folder.path().join("none")).unwrap_err();
        assert_eq!(error.kind(), Kind::Missing);
        assert!(error.to_string().contains("--targets FILE"), "{error}");
    }
}
