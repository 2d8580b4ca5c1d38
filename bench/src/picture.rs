//! A picture of what a commit interval costs: [`Picture`], as SVG.

use std::fmt::{self, Write as _};

use crate::results::Results;

/// A commit interval of a subject.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    subject: String,
    interval: String,
    /// % of a core.
    cpu: f64,
    p50: f64,
    p99: f64,
}

/// Latency beside the CPU time of the broker: one panel for p50 and one for p99.
pub(crate) struct Picture(Vec<Point>);

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// Of the first panel. The second one is beside it.
const LEFT: f64 = 64.0;
const TOP: f64 = 56.0;
const PANEL_WIDTH: f64 = 360.0;
const PANEL_HEIGHT: f64 = 300.0;
const BESIDE: f64 = 440.0;
/// Of a label.
const LINE: f64 = 12.0;
const CHARACTER: f64 = 6.2;

/// Texts have a halo, so that lines under them do not cross them out.
const STYLE: &str = "\
text{font:11px system-ui,sans-serif;fill:#333;paint-order:stroke;stroke:#fff;stroke-width:3px}
.title{font-size:13px;font-weight:600}.grid{stroke:#ddd}.axis{stroke:#888}.back{fill:#fff}
.a{stroke:#1f6f8b;fill:#1f6f8b}.b{stroke:#c0562f;fill:#c0562f}path{fill:none!important}
text.a,text.b{stroke:#fff}
@media (prefers-color-scheme:dark){text{fill:#ccc;stroke:#111}.grid{stroke:#333}.back{fill:#111}
.axis{stroke:#777}.a{stroke:#6cc3dd;fill:#6cc3dd}.b{stroke:#f0936d;fill:#f0936d}
text.a,text.b{stroke:#111}}";

impl Picture {
    /// Of the part `curve`. `None` if it was not measured.
    pub(crate) fn new(results: &Results) -> Option<Self> {
        let points = results.groups("curve").into_iter().filter_map(|group| {
            let (subject, interval) = group[0].subject.split_once(", ")?;
            let value = |name| group[0].value(name).filter(|value| *value > 0.0);
            Some(Point {
                subject: subject.to_owned(),
                interval: interval.to_owned(),
                cpu: value("brokers")?,
                p50: value("p50")?,
                p99: value("p99")?,
            })
        });
        let points: Vec<Point> = points.collect();
        (!points.is_empty()).then_some(Picture(points))
    }

    /// The subjects, in the order in which they were measured.
    fn subjects(&self) -> Vec<&str> {
        let mut subjects: Vec<&str> = Vec::new();
        for point in &self.0 {
            if !subjects.contains(&point.subject.as_str()) {
                subjects.push(&point.subject);
            }
        }
        subjects
    }

    fn panel(&self, f: &mut fmt::Formatter<'_>, left: f64, name: &str) -> fmt::Result {
        let time = |point: &Point| if name == "p50" { point.p50 } else { point.p99 };
        let all = self.0.iter().flat_map(|point| [point.p50, point.p99]);
        let across = Scale::new(self.0.iter().map(|point| point.cpu), left, PANEL_WIDTH);
        let up = Scale::new(all, TOP + PANEL_HEIGHT, -PANEL_HEIGHT);
        let (right, bottom) = (left + PANEL_WIDTH, TOP + PANEL_HEIGHT);
        writeln!(
            f,
            "<text class=\"title\" x=\"{left}\" y=\"44\">{name}</text>"
        )?;
        for tick in across.ticks() {
            let x = across.place(tick);
            writeln!(f, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>")?;
            let y = bottom + 16.0;
            writeln!(
                f,
                "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{tick}</text>"
            )?;
        }
        for tick in up.ticks() {
            let (x, y) = (left - 6.0, up.place(tick));
            writeln!(f, "<path class=\"grid\" d=\"M{left} {y:.1}H{right}\"/>")?;
            let y = y + 4.0;
            writeln!(
                f,
                "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{tick}</text>"
            )?;
        }
        writeln!(
            f,
            "<path class=\"axis\" d=\"M{left} {TOP}V{bottom}H{right}\"/>"
        )?;
        let (x, y) = (left + PANEL_WIDTH / 2.0, bottom + 36.0);
        let head = "CPU of the broker, % of a core";
        writeln!(
            f,
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">{head}</text>"
        )?;
        let (x, y) = (left - 42.0, TOP + PANEL_HEIGHT / 2.0);
        let turn = format!("transform=\"rotate(-90 {x} {y})\" text-anchor=\"middle\"");
        writeln!(
            f,
            "<text x=\"{x}\" y=\"{y}\" {turn}>{name} of four hops, ms</text>"
        )?;
        for (subject, class) in self
            .subjects()
            .into_iter()
            .zip(["a", "b"].into_iter().cycle())
        {
            // Its own rule is no interval, so it is on no line.
            let points = self
                .0
                .iter()
                .filter(|point| point.subject == subject && point.interval.ends_with(" ms"));
            let mut path = String::new();
            for point in points {
                let verb = if path.is_empty() { 'M' } else { 'L' };
                let (x, y) = (across.place(point.cpu), up.place(time(point)));
                write!(path, "{verb}{x:.1} {y:.1}")?;
            }
            writeln!(f, "<path class=\"{class}\" d=\"{path}\"/>")?;
        }
        self.labels(f, &across, &up, time)
    }

    /// A circle for each point, and its interval beside it, where nothing else is written.
    fn labels(
        &self,
        f: &mut fmt::Formatter<'_>,
        across: &Scale,
        up: &Scale,
        time: impl Fn(&Point) -> f64,
    ) -> fmt::Result {
        let place = |point: &Point| (across.place(point.cpu), up.place(time(point)));
        let texts = self
            .0
            .iter()
            .map(|point| (place(point), point.interval.as_str()));
        let places = place_labels(&texts.collect::<Vec<_>>());
        let subjects = self.subjects();
        for (point, (left, top)) in self.0.iter().zip(places) {
            let is_first = subjects
                .first()
                .is_some_and(|first| *first == point.subject);
            let class = if is_first { "a" } else { "b" };
            let (x, y) = place(point);
            writeln!(
                f,
                "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>"
            )?;
            let (y, interval) = (top + LINE - 3.0, &point.interval);
            writeln!(
                f,
                "<text class=\"{class}\" x=\"{left:.1}\" y=\"{y:.1}\">{interval}</text>"
            )?;
        }
        Ok(())
    }
}

/// The top left corners of labels: beside their points, and not over one another or a point.
fn place_labels(texts: &[((f64, f64), &str)]) -> Vec<(f64, f64)> {
    let mut taken: Vec<[f64; 4]> = texts
        .iter()
        .map(|((x, y), _)| [x - 3.0, y - 3.0, x + 3.0, y + 3.0])
        .collect();
    let mut places = Vec::new();
    for ((x, y), text) in texts {
        let width = text.chars().count() as f64 * CHARACTER;
        // Right, left, then further and further above and below.
        let sides = (0..40).flat_map(|step| {
            let away = f64::from(step / 2) * 4.0;
            let dy = if step % 2 == 0 { -away } else { away };
            [
                (x + 6.0, y - LINE / 2.0 + dy),
                (x - 6.0 - width, y - LINE / 2.0 + dy),
            ]
        });
        let area = |(left, top): (f64, f64)| [left, top, left + width, top + LINE];
        let is_free = |place: &(f64, f64)| {
            let [left, top, right, bottom] = area(*place);
            taken
                .iter()
                .all(|[l, t, r, b]| *l >= right || *r <= left || *t >= bottom || *b <= top)
        };
        let place = sides
            .clone()
            .find(is_free)
            .unwrap_or((x + 6.0, y - LINE / 2.0));
        taken.push(area(place));
        places.push(place);
    }
    places
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             role=\"img\">\n<title>Latency and the CPU time of the broker by commit interval\
             </title>\n<style>{STYLE}</style>\n<rect class=\"back\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\"/>"
        )?;
        let mut x = LEFT;
        for (subject, class) in self
            .subjects()
            .into_iter()
            .zip(["a", "b"].into_iter().cycle())
        {
            writeln!(
                f,
                "<circle class=\"{class}\" cx=\"{x}\" cy=\"18\" r=\"4\"/>"
            )?;
            writeln!(f, "<text x=\"{}\" y=\"22\">{subject}</text>", x + 10.0)?;
            x += 110.0;
        }
        self.panel(f, LEFT, "p50")?;
        self.panel(f, LEFT + BESIDE, "p99")?;
        writeln!(f, "</svg>")
    }
}

/// A logarithmic axis.
struct Scale {
    least: f64,
    most: f64,
    start: f64,
    length: f64,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64>, start: f64, length: f64) -> Self {
        let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
        for value in values {
            (least, most) = (least.min(value), most.max(value));
        }
        // Some room on both sides, also if there is one value only.
        let (least, most) = (least / 1.3, most * 1.3);
        Scale {
            least,
            most,
            start,
            length,
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.start + self.length * (value / self.least).ln() / (self.most / self.least).ln()
    }

    fn ticks(&self) -> Vec<f64> {
        let decades = (0..6).map(|power| 10_f64.powi(power));
        let is_short = self.most / self.least < 10.0;
        let digits: &[f64] = if is_short {
            &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let ticks = decades.flat_map(|decade| digits.iter().map(move |digit| digit * decade));
        ticks
            .filter(|tick| (self.least..=self.most).contains(tick))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Measurement;

    fn run(subject: &str, values: [f64; 3]) -> Measurement {
        Measurement {
            part: "curve",
            case: "1000/s".to_owned(),
            guarantee: "exactly-once",
            subject: subject.to_owned(),
            values: ["brokers", "p50", "p99"].into_iter().zip(values).collect(),
            verified: None,
        }
    }

    #[test]
    fn every_interval_is_in_both_panels_and_is_a_number() {
        let results = Results::of(vec![
            run("rivulet, own rule", [60.0, 40.0, 90.0]),
            run("rivulet, 100 ms", [40.0, 200.0, 300.0]),
            run("franz-go, 100 ms", [45.0, 210.0, 310.0]),
        ]);
        let text = Picture::new(&results).unwrap().to_string();
        assert_eq!(text.matches("100 ms</text>").count(), 4);
        assert_eq!(text.matches("own rule</text>").count(), 2);
        assert!(!text.contains("NaN") && !text.contains("inf"));
        assert!(Picture::new(&Results::of(Vec::new())).is_none());
    }

    #[test]
    fn labels_of_points_at_one_place_are_apart() {
        let texts = [((100.0, 100.0), "100 ms"); 5];
        let places = place_labels(&texts);
        for (number, (x, y)) in places.iter().enumerate() {
            for (other_x, other_y) in &places[..number] {
                let is_apart =
                    (x - other_x).abs() >= 6.0 * CHARACTER || (y - other_y).abs() >= LINE;
                assert!(is_apart, "{places:?}");
            }
        }
    }

    #[test]
    fn a_larger_value_is_further_along() {
        let scale = Scale::new([1.0, 10.0, 100.0].into_iter(), 0.0, 300.0);
        let places = [1.0, 10.0, 100.0].map(|value| scale.place(value));
        assert!(places[0] > 0.0 && places[2] < 300.0);
        assert!(((places[1] - places[0]) - (places[2] - places[1])).abs() < 1e-9);
        assert_eq!(scale.ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    }
}
