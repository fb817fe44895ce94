//! The report's plots: rates and times over connections and over users, as SVG on white.

use std::ops::Range;
use std::path::Path;

use anyhow::anyhow;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::part::{count, figure};

/// One line of a plot.
pub struct Series {
    pub name: &'static str,
    pub color: RGBColor,
    pub points: Vec<Point>,
}

/// What was measured at one number of connections or users.
#[derive(Clone, Copy)]
pub struct Point {
    pub at: f64,
    pub per_second: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
}

/// What stands along the horizontal axis.
pub struct Axis<'a> {
    pub name: &'a str,
    /// What was measured, each with a mark of its own.
    pub marks: Vec<f64>,
}

/// Colours that people with any colour vision tell apart (Okabe and Ito).
pub const GREY: RGBColor = RGBColor(110, 110, 110);
pub const BLUE: RGBColor = RGBColor(0, 114, 178);
pub const GREEN: RGBColor = RGBColor(0, 158, 115);
pub const ORANGE: RGBColor = RGBColor(213, 94, 0);

const INK: RGBColor = RGBColor(40, 40, 40);
const GRID: RGBColor = RGBColor(225, 225, 225);
const SIZE: (u32, u32) = (1120, 480);
/// Height of what explains the lines.
const LEGEND: u32 = 28;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Rates on the left, times on the right, on logarithmic axes.
pub fn draw(file: &Path, title: &str, axis: &Axis<'_>, series: &[Series]) -> anyhow::Result<()> {
    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(broken)?;
    let area = area
        .titled(title, ("sans-serif", 20).into_font().color(&INK))
        .map_err(broken)?;
    let (strip, panels) = area.split_vertically(LEGEND);
    legend(&strip, series)?;
    let [left, right] = <[Area<'_>; 2]>::try_from(panels.split_evenly((1, 2)))
        .map_err(|_| anyhow!("two panels and no more"))?;
    rates(&left, axis, series)?;
    times(&right, axis, series)?;
    area.present().map_err(broken)
}

/// What the colours and the dashes mean, above both panels and in the way of no line.
fn legend(area: &Area<'_>, series: &[Series]) -> anyhow::Result<()> {
    let colours = series
        .iter()
        .map(|series| (series.name, series.color, &[(0, 24)][..]));
    let dashes = [
        ("half of the answers are sooner (p50)", INK, &[(0, 24)][..]),
        ("99 % are sooner (p99)", INK, &[(0, 9), (14, 23)][..]),
    ];
    let mut left = 80;
    for (name, color, strokes) in colours.chain(dashes) {
        for (from, to) in strokes {
            let ends = vec![(left + from, 14), (left + to, 14)];
            let line = PathElement::new(ends, color.stroke_width(2));
            area.draw(&line).map_err(broken)?;
        }
        let font = ("sans-serif", 13).into_font().color(&INK);
        area.draw(&Text::new(name, (left + 32, 7), font))
            .map_err(broken)?;
        left += if color == INK { 290 } else { 110 };
    }
    Ok(())
}

fn broken(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("a plot cannot be drawn: {error}")
}

fn rates(area: &Area<'_>, axis: &Axis<'_>, series: &[Series]) -> anyhow::Result<()> {
    let values = series
        .iter()
        .flat_map(|series| series.points.iter().map(|point| point.per_second));
    let panel = Panel::new("requests a second", axis, values, |value| {
        count(value as u64)
    });
    let line = |series: &Series| vec![(Dash::None, pick(series, |point| point.per_second))];
    panel.draw(area, series, line)
}

fn times(area: &Area<'_>, axis: &Axis<'_>, series: &[Series]) -> anyhow::Result<()> {
    let values = series.iter().flat_map(|series| {
        series
            .points
            .iter()
            .flat_map(|point| [point.p50, point.p99])
    });
    let panel = Panel::new("milliseconds until the answer", axis, values, short);
    let lines = |series: &Series| {
        vec![
            (Dash::None, pick(series, |point| point.p50)),
            (Dash::Long, pick(series, |point| point.p99)),
        ]
    };
    panel.draw(area, series, lines)
}

fn pick(series: &Series, value: fn(&Point) -> f64) -> Vec<(f64, f64)> {
    let points = series.points.iter();
    points.map(|point| (point.at, value(point))).collect()
}

/// Without zeros that say nothing.
fn short(value: f64) -> String {
    let text = figure(value);
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[derive(Clone, Copy)]
enum Dash {
    None,
    Long,
}

type Lines = Vec<(Dash, Vec<(f64, f64)>)>;

struct Panel<'a> {
    title: &'static str,
    axis: &'a Axis<'a>,
    range: Range<f64>,
    marks: Vec<f64>,
    label: fn(f64) -> String,
}

impl<'a> Panel<'a> {
    fn new(
        title: &'static str,
        axis: &'a Axis<'a>,
        values: impl Iterator<Item = f64>,
        label: fn(f64) -> String,
    ) -> Self {
        let (mut least, mut most) = (f64::MAX, f64::MIN_POSITIVE);
        for value in values.filter(|value| *value > 0.0) {
            (least, most) = (least.min(value), most.max(value));
        }
        let range = below(least)..above(most);
        let marks = steps()
            .filter(|step| range.start <= *step && *step <= range.end)
            .collect();
        Self {
            title,
            axis,
            range,
            marks,
            label,
        }
    }

    fn draw(
        &self,
        area: &Area<'_>,
        series: &[Series],
        lines: impl Fn(&Series) -> Lines,
    ) -> anyhow::Result<()> {
        let marks = &self.axis.marks;
        let (first, last) = marks
            .first()
            .zip(marks.last())
            .ok_or_else(|| anyhow!("nothing was measured"))?;
        // Half a step of air, so that the outermost points do not sit on the frame.
        let across = first / 1.25..last * 1.25;
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 15).into_font().color(&INK))
            .margin(12)
            .margin_right(20)
            .x_label_area_size(46)
            .y_label_area_size(66)
            .build_cartesian_2d(
                across.log_scale().with_key_points(marks.clone()),
                self.range
                    .clone()
                    .log_scale()
                    .with_key_points(self.marks.clone()),
            )
            .map_err(broken)?;
        let (down, side) = (
            |value: &f64| (self.label)(*value),
            |value: &f64| count(*value as u64),
        );
        chart
            .configure_mesh()
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .axis_style(INK)
            .label_style(("sans-serif", 13).into_font().color(&INK))
            .x_labels(marks.len())
            .y_labels(self.marks.len())
            .x_label_formatter(&side)
            .y_label_formatter(&down)
            .x_desc(self.axis.name)
            .draw()
            .map_err(broken)?;
        for one in series {
            for (dash, points) in lines(one) {
                let (style, line) = (one.color.stroke_width(2), points.clone());
                let drawn = match dash {
                    Dash::None => chart.draw_series(LineSeries::new(line, style)),
                    Dash::Long => chart.draw_series(DashedLineSeries::new(line, 6, 4, style)),
                };
                drawn.map_err(broken)?;
                let dots = points
                    .iter()
                    .map(|point| Circle::new(*point, 3, one.color.filled()));
                chart.draw_series(dots).map_err(broken)?;
            }
        }
        Ok(())
    }
}

/// 1, 2 and 5 in every power of ten.
fn steps() -> impl Iterator<Item = f64> {
    let powers = (-3..8).map(|power| 10_f64.powi(power));
    powers.flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * power))
}

fn below(value: f64) -> f64 {
    let least = steps().filter(|step| *step <= value).last();
    least.unwrap_or(value)
}

fn above(value: f64) -> f64 {
    let most = steps().find(|step| *step >= value);
    most.unwrap_or(value)
}
