//! Charts: a drawing that needs no script, and the table that a script draws it again from.

use std::fmt::Write;

use super::parts::measured;
use crate::clock::Timestamp;

/// The drawing's size in units of its own; it is stretched to its place.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 180.0;

/// A value at a moment; none when there was nothing to be measured.
pub(super) type Value = Option<f64>;

/// What is to be drawn: moments, and for each line its name and its values at them.
#[derive(Debug)]
pub(super) struct Data {
    /// Names the figure on its page.
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// Behind each value: ` ms`, or nothing.
    pub(super) unit: &'static str,
    /// Whether the values are whole: people and things, not rates and times.
    pub(super) whole: bool,
    pub(super) at: Vec<Timestamp>,
    pub(super) lines: Vec<(&'static str, Vec<Value>)>,
}

/// A chart as its template shows it.
#[derive(Debug)]
pub(super) struct Chart {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    /// Whether its scale begins at zero; that of counts begins where they do.
    pub(super) from_zero: bool,
    /// What is seen in it, in words.
    pub(super) summary: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) highest: String,
    pub(super) lines: Vec<Line>,
    pub(super) rows: Vec<Row>,
}

/// A line of a chart.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    /// The class of its colour and its dashes.
    pub(super) class: &'static str,
    pub(super) latest: String,
    pub(super) path: String,
    pub(super) area: String,
}

/// The values of a moment.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) seconds: i64,
    pub(super) shown: String,
    pub(super) values: Vec<Cell>,
}

/// A value as a number and as a text.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) plain: Option<String>,
    pub(super) shown: String,
}

impl Data {
    /// The chart; none of fewer than two moments.
    pub(super) fn chart(self) -> Option<Chart> {
        let (first, last) = (self.at.first()?, self.at.last()?);
        if first >= last {
            return None;
        }
        let values = self.lines.iter().flat_map(|(_, values)| values).flatten();
        let highest = values.copied().fold(0.0, f64::max);
        let shown = |value: f64| self.shown(value);
        let (from, to) = (minute(*first, *first, *last), minute(*last, *first, *last));
        let lines: Vec<Line> = self
            .lines
            .iter()
            .zip(["one", "other"])
            .map(|((name, values), class)| self.line(name, class, values, highest))
            .collect();
        let latest: Vec<String> = lines
            .iter()
            .map(|line| format!("{} {}", line.name, line.latest))
            .collect();
        Some(Chart {
            id: self.id,
            name: self.name,
            from_zero: !self.whole,
            summary: format!(
                "{} from {from} to {to} UTC. Highest {}. Now: {}.",
                self.name,
                shown(highest),
                latest.join(", ")
            ),
            highest: shown(highest),
            lines,
            rows: self.rows(),
            from,
            to,
        })
    }

    fn shown(&self, value: f64) -> String {
        let number = measured(value);
        // A count of up to 999 has no places behind the point.
        let whole = number.split_once('.').filter(|_| self.whole);
        let number = whole.map_or(number.as_str(), |(whole, _)| whole);
        format!("{number}{}", self.unit)
    }

    fn line(
        &self,
        name: &'static str,
        class: &'static str,
        values: &[Value],
        highest: f64,
    ) -> Line {
        let scale = if highest > 0.0 { highest * 1.1 } else { 1.0 };
        let last = self.at.len().saturating_sub(1).max(1);
        let step = WIDTH / count(last);
        let points = values.iter().enumerate().map(|(index, value)| {
            let x = step * count(index);
            value.map(|value| (x, HEIGHT - value / scale * HEIGHT))
        });
        let latest = values.iter().rev().copied().flatten().next();
        let (path, area) = drawn(points);
        Line {
            name,
            class,
            latest: latest.map_or_else(|| "none".to_owned(), |value| self.shown(value)),
            path,
            area,
        }
    }

    fn rows(&self) -> Vec<Row> {
        let (Some(first), Some(last)) = (self.at.first(), self.at.last()) else {
            return Vec::new();
        };
        let row = |(index, at): (usize, &Timestamp)| Row {
            seconds: at.as_seconds(),
            shown: minute(*at, *first, *last),
            values: self
                .lines
                .iter()
                .map(|(_, values)| {
                    let value = values.get(index).copied().flatten();
                    Cell {
                        plain: value.map(|value| format!("{value:.3}")),
                        shown: value.map_or_else(|| "–".to_owned(), |value| self.shown(value)),
                    }
                })
                .collect(),
        };
        self.at.iter().enumerate().map(row).collect()
    }
}

/// The paths of a line and of the area below it; both are interrupted where there is no value.
fn drawn(points: impl Iterator<Item = Option<(f64, f64)>>) -> (String, String) {
    let (mut path, mut area) = (String::new(), String::new());
    let mut last: Option<f64> = None;
    for point in points {
        match (point, last) {
            (Some((x, y)), None) => {
                // Writing to a text does not fail.
                // A line of no length, so that a value alone is a dot.
                let _ = write!(path, "M{x:.1} {y:.1}h0");
                let _ = write!(area, "M{x:.1} {HEIGHT}L{x:.1} {y:.1}");
            }
            (Some((x, y)), Some(_)) => {
                let _ = write!(path, "L{x:.1} {y:.1}");
                let _ = write!(area, "L{x:.1} {y:.1}");
            }
            (None, Some(x)) => {
                let _ = write!(area, "L{x:.1} {HEIGHT}Z");
            }
            (None, None) => {}
        }
        last = point.map(|(x, _)| x);
    }
    if let Some(x) = last {
        let _ = write!(area, "L{x:.1} {HEIGHT}Z");
    }
    (path, area)
}

/// A number of points. There are never so many that one would not fit.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// A moment as it is told beside others: the time of the day, and the day alone in a chart of many.
fn minute(at: Timestamp, first: Timestamp, last: Timestamp) -> String {
    if last.since(first).as_secs() > 3 * 86_400 {
        return at.day();
    }
    let text = at.to_string();
    text.get(11..16).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn data(values: Vec<Value>) -> Data {
        let start = Timestamp::parse("2026-11-19T03:00:00.000Z").unwrap();
        let minutes = 0..u32::try_from(values.len()).unwrap();
        Data {
            id: "latency",
            name: "Latency",
            unit: " ms",
            whole: false,
            at: minutes
                .map(|minute| start.plus(Duration::from_secs(60) * minute))
                .collect(),
            lines: vec![("half within", values)],
        }
    }

    #[test]
    fn a_line_is_drawn_and_told() {
        let chart = data(vec![Some(0.0), Some(10.0), Some(5.0)])
            .chart()
            .unwrap();
        assert_eq!(chart.lines[0].path, "M0.0 180.0h0L300.0 16.4L600.0 98.2");
        assert!(chart.lines[0].area.starts_with("M0.0 180L0.0 180.0L"));
        assert!(chart.lines[0].area.ends_with("L600.0 180Z"));
        assert_eq!(
            chart.summary,
            "Latency from 03:00 to 03:02 UTC. Highest 10.0 ms. Now: half within 5.00 ms."
        );
        let cells: Vec<&str> = chart
            .rows
            .iter()
            .map(|row| row.values[0].shown.as_str())
            .collect();
        assert_eq!(cells, ["0.00 ms", "10.0 ms", "5.00 ms"]);
    }

    #[test]
    fn where_nothing_was_measured_the_line_is_interrupted() {
        let chart = data(vec![Some(1.0), None, Some(1.0), None])
            .chart()
            .unwrap();
        assert_eq!(chart.lines[0].path.matches('M').count(), 2);
        assert_eq!(chart.lines[0].area.matches('Z').count(), 2);
        assert_eq!(chart.rows[1].values[0].plain, None);
        assert_eq!(chart.lines[0].latest, "1.00 ms");
        let nothing = data(vec![None, None]).chart().unwrap();
        assert_eq!(
            (
                nothing.lines[0].path.as_str(),
                nothing.lines[0].latest.as_str()
            ),
            ("", "none")
        );
    }

    #[test]
    fn one_moment_is_no_chart() {
        assert!(data(vec![Some(1.0)]).chart().is_none());
        assert!(data(Vec::new()).chart().is_none());
    }

    #[test]
    fn counts_are_whole() {
        let mut counts = data(vec![Some(7.0), Some(1_250.0)]);
        (counts.whole, counts.unit) = (true, "");
        let chart = counts.chart().unwrap();
        assert_eq!(chart.rows[0].values[0].shown, "7");
        assert_eq!(chart.highest, "1,250");
    }
}
