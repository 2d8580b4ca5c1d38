//! Tables in GitHub's Markdown: [`ResultTable`].

use std::fmt;

use crate::results::{Measurement, Results};
use crate::verified::Verified;

/// A column: the name of a value, its head, and how many digits it has.
pub(crate) type Column = (&'static str, &'static str, usize);

/// The table of one part: a row for each case, guarantee and subject, with the median
/// (least–most) over the rounds.
pub(crate) struct ResultTable<'r> {
    pub(crate) results: &'r Results,
    pub(crate) part: &'static str,
    pub(crate) title: &'static str,
    pub(crate) columns: &'static [Column],
}

impl fmt::Display for ResultTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = self.results.groups(self.part);
        if groups.is_empty() {
            return Ok(());
        }
        writeln!(f, "\n### {}\n", self.title)?;
        write!(f, "| | | |")?;
        for (_, head, _) in self.columns {
            write!(f, " {head} |")?;
        }
        write!(f, " missing/doubled/wrong |\n| --- | --- | --- |")?;
        for _ in self.columns {
            write!(f, " ---: |")?;
        }
        writeln!(f, " ---: |")?;
        let mut groups = groups;
        groups.sort_by_key(|group| {
            let first =
                |is_like: &dyn Fn(&Measurement) -> bool| self.results.all.iter().position(is_like);
            let of = group[0];
            // Rows with the same case and guarantee are beside each other.
            (first(&|other| {
                (&other.case, other.guarantee) == (&of.case, of.guarantee) && other.part == of.part
            }),)
        });
        for group in groups {
            let first = group[0];
            let Measurement {
                case,
                guarantee,
                subject,
                ..
            } = first;
            write!(f, "| {case} | {guarantee} | {subject} |")?;
            for (name, _, digits) in self.columns {
                let values = group.iter().filter_map(|measured| measured.value(name));
                write!(f, " {} |", spread(values.collect(), *digits))?;
            }
            let verified = group.iter().filter_map(|measured| measured.verified);
            match verified.reduce(Verified::plus) {
                Some(verified) => writeln!(f, " {verified} |")?,
                None => writeln!(f, " |")?,
            }
        }
        Ok(())
    }
}

/// The median (least–most).
fn spread(mut values: Vec<f64>, digits: usize) -> String {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2);
    match (values.as_slice(), middle) {
        ([], _) | (_, None) => String::new(),
        ([one], _) => format!("{one:.digits$}"),
        ([least, .., most], Some(median)) => {
            format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_median_the_least_and_the_most() {
        assert_eq!(spread(vec![3.0, 1.0, 2.0], 1), "2.0 (1.0–3.0)");
        assert_eq!(spread(vec![1.25], 2), "1.25");
        assert_eq!(spread(Vec::new(), 2), "");
    }

    #[test]
    fn rows_of_the_same_case_are_beside_each_other() {
        let run = |case: &str, subject: &str, cpu: f64| Measurement {
            part: "flow",
            case: case.to_owned(),
            guarantee: "exactly-once",
            subject: subject.to_owned(),
            values: vec![("cpu", cpu)],
            verified: Some(Verified::default()),
        };
        let results = Results::of(vec![
            run("convert", "a", 1.0),
            run("ewma", "a", 2.0),
            run("convert", "b", 3.0),
            run("convert", "a", 2.0),
        ]);
        let table = ResultTable {
            results: &results,
            part: "flow",
            title: "Flow",
            columns: &[("cpu", "CPU µs", 1)],
        };
        let text = table.to_string();
        let rows: Vec<&str> = text.lines().skip(5).collect();
        assert_eq!(
            rows,
            [
                "| convert | exactly-once | a | 2.0 (1.0–2.0) | 0/0/0 |",
                "| convert | exactly-once | b | 3.0 | 0/0/0 |",
                "| ewma | exactly-once | a | 2.0 | 0/0/0 |",
            ]
        );
    }
}
