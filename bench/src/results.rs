//! What was measured: [`Results`], a list of [`Measurement`]s.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::json;

use crate::outcome::Outcome;
use crate::verified::Verified;

/// One run of one subject.
#[derive(Debug, Clone)]
pub(crate) struct Measurement {
    /// The part of the bench, such as `flow`.
    pub(crate) part: &'static str,
    /// What was run, such as `convert` or `1,000/s`.
    pub(crate) case: String,
    pub(crate) guarantee: &'static str,
    pub(crate) subject: String,
    /// By name, in the order of the columns.
    pub(crate) values: Vec<(&'static str, f64)>,
    /// `None` if nothing was read.
    pub(crate) verified: Option<Verified>,
}

impl Measurement {
    /// A value by name.
    pub(crate) fn value(&self, name: &str) -> Option<f64> {
        let mut values = self.values.iter();
        values.find_map(|(found, value)| (*found == name).then_some(*value))
    }

    fn is_like(&self, other: &Measurement) -> bool {
        let key = |of: &Measurement| (of.part, of.case.clone(), of.guarantee, of.subject.clone());
        key(self) == key(other)
    }

    /// Whether it did the job right.
    pub(crate) fn is_right(&self) -> bool {
        let exactly_once = self.guarantee == "exactly-once";
        self.verified
            .is_none_or(|verified| verified.is_right(exactly_once))
    }

    fn json(&self) -> String {
        let number = |value: f64| {
            if value.is_finite() {
                json!(value)
            } else {
                json!(null)
            }
        };
        let values = self
            .values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), number(*value)));
        let verified = self.verified.map(|verified| verified.to_string());
        json!({
            "part": self.part,
            "case": self.case,
            "guarantee": self.guarantee,
            "subject": self.subject,
            "values": values.collect::<serde_json::Map<_, _>>(),
            "missing/doubled/wrong": verified,
        })
        .to_string()
    }
}

impl std::fmt::Display for Measurement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Measurement {
            part,
            case,
            guarantee,
            subject,
            ..
        } = self;
        write!(f, "{part} {case} {guarantee}: {subject}:")?;
        for (name, value) in &self.values {
            write!(f, " {name} {value:.2}")?;
        }
        if let Some(verified) = self.verified {
            write!(f, ", missing/doubled/wrong {verified}")?;
        }
        Ok(())
    }
}

/// All runs, in the order in which they ended.
pub(crate) struct Results {
    pub(crate) all: Vec<Measurement>,
    file: Option<File>,
}

impl Results {
    /// They are also written to a file, a line of JSON each.
    pub(crate) fn new(path: &Path) -> Outcome<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file = Some(File::create(path)?);
        Ok(Results {
            all: Vec::new(),
            file,
        })
    }

    /// Of no file.
    #[cfg(test)]
    pub(crate) fn of(all: Vec<Measurement>) -> Self {
        Results { all, file: None }
    }

    /// Adds a run.
    pub(crate) fn add(&mut self, measured: Measurement) -> Outcome<()> {
        eprintln!("  {measured}");
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", measured.json())?;
        }
        self.all.push(measured);
        Ok(())
    }

    /// The runs that are like each other, in the order of the first of each.
    pub(crate) fn groups(&self, part: &str) -> Vec<Vec<&Measurement>> {
        let mut groups: Vec<Vec<&Measurement>> = Vec::new();
        for measured in self.all.iter().filter(|measured| measured.part == part) {
            match groups.iter_mut().find(|group| group[0].is_like(measured)) {
                Some(group) => group.push(measured),
                None => groups.push(vec![measured]),
            }
        }
        groups
    }

    /// The median of a value over the rounds.
    pub(crate) fn median(
        &self,
        part: &str,
        case: &str,
        guarantee: &str,
        subject: &str,
        value: &str,
    ) -> Option<f64> {
        let mut values: Vec<f64> = self
            .all
            .iter()
            .filter(|measured| {
                (measured.part, measured.case.as_str(), measured.guarantee)
                    == (part, case, guarantee)
                    && measured.subject == subject
            })
            .filter_map(|measured| measured.value(value))
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    }
}
