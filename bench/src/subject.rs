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

/// A subject, such as `relay`, `convert` or `convert-old`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// Its name in the table, and the beginning of the names of its stages.
    pub(crate) name: String,
    /// Its step; `None` for the relay.
    pub(crate) step: Option<&'static str>,
    /// The folder of its program; `None` for the programs of this build.
    pub(crate) folder: Option<PathBuf>,
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
        folder: None,
    }];
    for (step, settings) in STEPS {
        subjects.push(Subject {
            name: step.to_owned(),
            step: Some(settings),
            folder: None,
        });
        subjects.extend(versions.iter().map(|version| Subject {
            name: format!("{step}-{}", version.name),
            step: Some(settings),
            folder: Some(version.folder.clone()),
        }));
    }
    subjects
}
