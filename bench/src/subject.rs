//! What is measured: the relay, and stages of this version and of others.

use std::path::PathBuf;
use std::str::FromStr;

/// The steps that are measured.
pub(crate) const STEPS: [(&str, &str); 2] = [
    (
        "convert",
        "{ convert = { from = \"celsius\", to = \"fahrenheit\" } }",
    ),
    ("ewma", "{ ewma = { alpha = 0.5 } }"),
];

/// The formats in which the first step is measured too: a name, the format, and its settings beside
/// [`PARTS`]. `REGISTRY` stands for the URL of a schema registry.
pub(crate) const FORMATS: [(&str, &str, &str); 3] = [
    ("mapped", "json", ""),
    (
        "avro",
        "avro",
        r#"registry = "REGISTRY", subject = "reading", schema-file = "reading.avsc","#,
    ),
    ("avro-file", "avro-file", r#"schema-file = "reading.avsc","#),
];

/// Where the parts of a reading are: where rivulet's own JSON has them.
pub(crate) const PARTS: &str =
    r#"sensor = "sensor", seq = "seq", time = "time", value = "value", unit = "/unit""#;

/// The schema of both formats of Avro.
pub(crate) const SCHEMA: &str = r#"{"type":"record","name":"reading","fields":[
    {"name":"sensor","type":"string"},{"name":"seq","type":"long"},
    {"name":"time","type":{"type":"long","logicalType":"timestamp-millis"}},
    {"name":"value","type":"double"},{"name":"unit","type":["null","string"]}]}"#;

/// A subject, such as `relay`, `convert`, `convert-old` or `convert-mapped`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Its name in the table, and the beginning of the names of its stages.
    pub(crate) name: String,
    /// Its step; `None` for the relay.
    pub(crate) step: Option<&'static str>,
    /// Which of [`FORMATS`] it reads and writes; `None` for rivulet's own JSON.
    pub(crate) format: Option<&'static str>,
    /// The folder of its program; `None` for the programs of this build.
    pub(crate) folder: Option<PathBuf>,
}

impl Subject {
    /// The topic that it reads.
    pub(crate) fn input(&self) -> String {
        let named = |format| format!("input-{format}");
        self.format.map_or_else(|| "input".to_owned(), named)
    }
}

/// The programs of another version.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    name: String,
    folder: PathBuf,
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, folder) = text
            .split_once('=')
            .filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .ok_or("write NAME=FOLDER, with a name of letters and digits")?;
        let folder = PathBuf::from(folder);
        if !folder.join("rivulet-operator").is_file() {
            return Err(format!("{} has no rivulet-operator", folder.display()));
        }
        Ok(Version {
            name: name.to_owned(),
            folder,
        })
    }
}

/// The relay, and each step in this version and the others.
pub(crate) fn all(versions: &[Version]) -> Vec<Subject> {
    let mut subjects = vec![Subject {
        name: "relay".to_owned(),
        step: None,
        format: None,
        folder: None,
    }];
    for (step, settings) in STEPS {
        subjects.push(Subject {
            name: step.to_owned(),
            step: Some(settings),
            format: None,
            folder: None,
        });
        subjects.extend(versions.iter().map(|version| Subject {
            name: format!("{step}-{}", version.name),
            step: Some(settings),
            format: None,
            folder: Some(version.folder.clone()),
        }));
    }
    let (step, settings) = STEPS[0];
    subjects.extend(FORMATS.map(|(format, ..)| Subject {
        name: format!("{step}-{format}"),
        step: Some(settings),
        format: Some(format),
        folder: None,
    }));
    subjects
}
