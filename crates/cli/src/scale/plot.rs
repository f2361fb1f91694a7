//! The picture of a `scale` run: throughput and efficiency side by side, one colour a mode.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::report::Row;
use crate::output::thousands;

const SIZE: (u32, u32) = (1160, 520);
const FONT: &str = "Helvetica, Arial, sans-serif";
const INK: RGBColor = RGBColor(34, 38, 46);
const FAINT_INK: RGBColor = RGBColor(104, 112, 124);
const GRID: RGBColor = RGBColor(226, 230, 236);
/// Told apart by people who see colours differently, and readable on white.
const COLOURS: [RGBColor; 14] = [
    RGBColor(0, 106, 173),
    RGBColor(201, 84, 0),
    RGBColor(0, 135, 98),
    RGBColor(170, 70, 138),
    RGBColor(140, 104, 0),
    RGBColor(94, 84, 190),
    RGBColor(185, 35, 60),
    RGBColor(40, 130, 150),
    RGBColor(110, 125, 30),
    RGBColor(90, 90, 90),
    RGBColor(215, 120, 150),
    RGBColor(60, 60, 130),
    RGBColor(120, 70, 40),
    RGBColor(60, 110, 60),
];

type Panel<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A mode's rows in the order of their thread counts.
struct Series<'r> {
    mode: &'r str,
    colour: RGBColor,
    rows: Vec<&'r Row>,
}

/// What one panel shows: a value of each row against the thread count, both as logarithms or not.
struct Axis {
    title: &'static str,
    range: std::ops::Range<f64>,
    ticks: Vec<f64>,
    value: fn(&Row) -> f64,
    tick_label: fn(f64) -> String,
    end_label: fn(&Row) -> String,
}

/// Draws the rows of one run as an SVG document.
pub fn svg(rows: &[Row], caption: &str) -> String {
    let mut document = String::new();
    draw(rows, caption, &mut document).expect("drawing into a string does not fail");
    document
}

fn draw(rows: &[Row], caption: &str, document: &mut String) -> Drawn {
    let root = SVGBackend::with_string(document, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    root.draw_text(
        "Threads sharing one device",
        &text(22, INK, HPos::Left),
        (28, 26),
    )?;
    root.draw_text(caption, &text(14, FAINT_INK, HPos::Left), (28, 54))?;
    if rows.is_empty() {
        return Ok(root.present()?);
    }
    let series = series_of(rows);
    let (_, body) = root.split_vertically(76);
    let (left, right) = body.split_horizontally(SIZE.0 / 2);
    draw_panel(&left, &throughput(rows), &series, true)?;
    draw_panel(&right, &efficiency(rows), &series, false)?;
    root.present()?;
    Ok(())
}

fn series_of(rows: &[Row]) -> Vec<Series<'_>> {
    let mut all: Vec<Series<'_>> = Vec::new();
    for row in rows {
        match all.iter_mut().find(|series| series.mode == row.mode) {
            Some(series) => series.rows.push(row),
            None => {
                let colour = COLOURS[all.len() % COLOURS.len()];
                all.push(Series {
                    mode: &row.mode,
                    colour,
                    rows: vec![row],
                });
            }
        }
    }
    all
}

/// Operations a second, both axes as logarithms, so that perfect scaling is a straight line.
fn throughput(rows: &[Row]) -> Axis {
    let rates = || rows.iter().map(|row| row.ops_per_s.max(1.0));
    let low = rates().fold(f64::INFINITY, f64::min) / 1.25;
    let high = rates().fold(0.0, f64::max) * 1.5;
    Axis {
        title: "Throughput, operations a second",
        range: low.log2()..high.log2(),
        ticks: round_numbers(low, high)
            .into_iter()
            .map(f64::log2)
            .collect(),
        value: |row| row.ops_per_s.max(1.0).log2(),
        tick_label: |tick| short(tick.exp2()),
        end_label: |row| short(row.ops_per_s),
    }
}

/// Numbers to mark on a logarithmic axis: 1, 2, 5, 10, … or, over a wide range, powers of ten.
fn round_numbers(low: f64, high: f64) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let multiples: &[f64] = if high / low > 300.0 {
        &[1.0]
    } else {
        &[1.0, 2.0, 5.0]
    };
    let numbers = decades.flat_map(|decade| {
        multiples
            .iter()
            .map(move |digit| digit * 10_f64.powi(decade))
    });
    numbers
        .filter(|number| (low..=high).contains(number))
        .collect()
}

/// The share of perfect scaling that is left.
fn efficiency(rows: &[Row]) -> Axis {
    let high = rows.iter().map(|row| row.efficiency).fold(1.0, f64::max);
    let high = (high * 10.0 + 0.5).ceil() / 10.0;
    Axis {
        title: "Efficiency, share of perfect scaling",
        range: 0.0..high,
        ticks: (0..)
            .map(|i| f64::from(i) * 0.2)
            .take_while(|tick| *tick <= high)
            .collect(),
        value: |row| row.efficiency,
        tick_label: |tick| format!("{:.0}%", tick * 100.0),
        end_label: |row| format!("{:.0}%", row.efficiency * 100.0),
    }
}

fn draw_panel(panel: &Panel<'_>, axis: &Axis, series: &[Series<'_>], ideal_rises: bool) -> Drawn {
    panel.draw_text(axis.title, &text(15, INK, HPos::Left), (28, 14))?;
    let (_, area) = panel.split_vertically(34);
    let threads = thread_counts(series);
    let right_end = threads
        .last()
        .map_or(1.0, |last| f64::from(*last).log2())
        .max(0.01);
    let mut chart = ChartBuilder::on(&area)
        .margin_left(66)
        .margin_right(128)
        .margin_top(6)
        .margin_bottom(48)
        .build_cartesian_2d(0.0..right_end, axis.range.clone())?;
    draw_grid(&mut chart, &area, axis, &threads)?;
    draw_ideal(&mut chart, series, axis, right_end, ideal_rises)?;
    for line in series {
        let points = || {
            line.rows
                .iter()
                .map(|row| (f64::from(row.threads).log2(), (axis.value)(row)))
        };
        chart.draw_series(LineSeries::new(points(), line.colour.stroke_width(3)))?;
        chart.draw_series(points().map(|point| Circle::new(point, 4, line.colour.filled())))?;
    }
    label_ends(&chart, &area, axis, series)
}

fn thread_counts(series: &[Series<'_>]) -> Vec<u32> {
    let mut counts: Vec<u32> = series
        .iter()
        .flat_map(|line| line.rows.iter().map(|row| row.threads))
        .collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}

fn draw_grid(chart: &mut Chart<'_, '_>, area: &Panel<'_>, axis: &Axis, threads: &[u32]) -> Drawn {
    let range = chart.x_range();
    let origin = area.get_pixel_range();
    let local = |chart: &Chart<'_, '_>, point: (f64, f64)| {
        let (x, y) = chart.backend_coord(&point);
        (x - origin.0.start, y - origin.1.start)
    };
    for tick in &axis.ticks {
        chart.draw_series(LineSeries::new(
            [(range.start, *tick), (range.end, *tick)],
            GRID.stroke_width(1),
        ))?;
        let (x, y) = local(chart, (range.start, *tick));
        area.draw_text(
            &(axis.tick_label)(*tick),
            &text(13, FAINT_INK, HPos::Right),
            (x - 12, y),
        )?;
    }
    for count in threads {
        let (x, y) = local(chart, (f64::from(*count).log2(), axis.range.start));
        area.draw_text(
            &count.to_string(),
            &text(13, FAINT_INK, HPos::Center),
            (x, y + 16),
        )?;
    }
    let (x, y) = local(chart, ((range.start + range.end) / 2.0, axis.range.start));
    area.draw_text(
        "calling threads (dashed: perfect scaling)",
        &text(13, FAINT_INK, HPos::Center),
        (x, y + 36),
    )?;
    Ok(())
}

/// Perfect scaling from the best one-thread rate, dashed.
fn draw_ideal(
    chart: &mut Chart<'_, '_>,
    series: &[Series<'_>],
    axis: &Axis,
    end: f64,
    rises: bool,
) -> Drawn {
    let firsts = series.iter().filter_map(|line| line.rows.first());
    let best = firsts
        .map(|row| (axis.value)(row))
        .fold(f64::NEG_INFINITY, f64::max);
    let rise = if rises {
        end.min(axis.range.end - best)
    } else {
        0.0
    };
    let reach = if rises { rise } else { end };
    chart.draw_series(DashedLineSeries::new(
        [(0.0, best), (reach, best + rise)],
        4,
        5,
        FAINT_INK.stroke_width(1),
    ))?;
    Ok(())
}

/// Names each line at its right end, moved apart where lines end close together.
fn label_ends(
    chart: &Chart<'_, '_>,
    area: &Panel<'_>,
    axis: &Axis,
    series: &[Series<'_>],
) -> Drawn {
    let origin = area.get_pixel_range();
    let mut labels: Vec<(i32, i32, &Series<'_>, &Row)> = Vec::new();
    for line in series {
        let Some(row) = line.rows.last() else {
            continue;
        };
        let (x, y) = chart.backend_coord(&(f64::from(row.threads).log2(), (axis.value)(row)));
        labels.push((x - origin.0.start + 12, y - origin.1.start, line, row));
    }
    labels.sort_by_key(|label| label.1);
    let mut heights: Vec<i32> = labels.iter().map(|label| label.1).collect();
    spread(&mut heights, 17, origin.1.end - origin.1.start - 48);
    for ((x, _, line, row), y) in labels.into_iter().zip(heights) {
        let label = format!("{}  {}", line.mode, (axis.end_label)(row));
        area.draw_text(&label, &text(14, line.colour, HPos::Left), (x, y))?;
    }
    Ok(())
}

/// Moves sorted heights apart to at least `gap`, keeping them above `bottom`.
fn spread(heights: &mut [i32], gap: i32, bottom: i32) {
    for i in 1..heights.len() {
        heights[i] = heights[i].max(heights[i - 1] + gap);
    }
    let mut limit = bottom;
    for height in heights.iter_mut().rev() {
        *height = (*height).min(limit);
        limit = *height - gap;
    }
}

fn text(size: u32, colour: RGBColor, side: HPos) -> TextStyle<'static> {
    let font = (FONT, f64::from(size)).into_font();
    font.color(&colour).pos(Pos::new(side, VPos::Center))
}

/// `950`, `74.1k`, `1.44M`.
fn short(value: f64) -> String {
    let digits = |scaled: f64| {
        let places = if scaled < 9.995 {
            2
        } else {
            usize::from(scaled < 99.95)
        };
        let text = format!("{scaled:.places$}");
        match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        }
    };
    match value {
        v if v >= 999_500.0 => digits(v / 1e6) + "M",
        v if v >= 999.5 => digits(v / 1e3) + "k",
        v => thousands(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers() {
        assert_eq!(short(950.0), "950");
        assert_eq!(short(74_051.0), "74.1k");
        assert_eq!(short(131_072.0), "131k");
        assert_eq!(short(999_700.0), "1M");
        assert_eq!(short(1_443_846.0), "1.44M");
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(round_numbers(900.0, 12_000.0), [1e3, 2e3, 5e3, 1e4]);
        assert_eq!(round_numbers(9.0, 12_000.0), [10.0, 1e2, 1e3, 1e4]);
    }

    #[test]
    fn labels_move_apart_and_stay_above_the_bottom() {
        let mut heights = [10, 12, 95, 99];
        spread(&mut heights, 10, 100);
        assert_eq!(heights, [10, 20, 90, 100]);
    }

    #[test]
    fn every_mode_is_named_in_both_panels() {
        let row = |mode: &str, threads, ops_per_s, efficiency| Row {
            device: "cpu".into(),
            op: "softmax".into(),
            mode: mode.into(),
            threads,
            ops_per_s,
            speedup: 1.0,
            efficiency,
            p50_us: 1.0,
            p99_us: 1.0,
            p999_us: 1.0,
            ops_per_wait: 1,
            gpu_share: None,
            limit: "",
        };
        let rows = [
            row("own", 1, 1e5, 1.0),
            row("own", 4, 3.9e5, 0.98),
            row("mutex", 1, 1e5, 1.0),
            row("mutex", 4, 0.9e5, 0.22),
        ];
        let document = svg(&rows, "cpu");
        for label in [
            "own  390k",
            "own  98%",
            "mutex  90k",
            "mutex  22%",
            "calling threads",
        ] {
            assert!(document.contains(label), "no '{label}' in the plot");
        }
        assert!(
            svg(&rows[..1], "cpu").contains("own"),
            "one row is a plot too"
        );
        assert!(svg(&[], "cpu").contains("</svg>"), "and none");
    }
}
