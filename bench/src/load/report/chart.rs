//! Line charts as SVG whose colours come from the page, so that they are right in the light and in the dark. It knows
//! nothing of what the lines mean.

use std::fmt::Write as _;

/// How an axis runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// From zero to a round number.
    Linear,
    /// From zero to the last value: time.
    Exact,
    Logarithmic,
    /// A share from 0.5 on, as far from 1 as it is: 90 %, 99 %, 99.9 % have the same distance.
    Nines,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// One chart.
#[derive(Debug, Clone)]
pub struct Chart {
    pub title: &'static str,
    pub explanation: &'static str,
    pub x: Scale,
    pub x_unit: &'static str,
    pub y: Scale,
    pub y_unit: &'static str,
    pub series: Vec<Series>,
    /// A part of the horizontal axis that is shaded: what was measured.
    pub window: Option<(f64, f64)>,
}

impl Chart {
    /// Whether there is anything to see.
    pub fn is_worth_it(&self) -> bool {
        self.series.iter().any(|series| series.points.len() > 1)
    }

    /// A `<figure>` with title, legend, plot and the points for the reading under the pointer.
    pub fn html(&self) -> String {
        let frame = Frame::of(self);
        let mut html = String::new();
        let mut push = |text: std::fmt::Arguments<'_>| {
            html.write_fmt(text).expect("a String takes everything")
        };
        push(format_args!(
            "<figure><figcaption><h3>{}</h3><p>{}</p></figcaption>",
            self.title, self.explanation
        ));
        push(format_args!("<div class='legend'>"));
        for (number, series) in self.series.iter().enumerate() {
            push(format_args!(
                "<span><i class='s{}'></i>{}</span>",
                number % COLOURS,
                escaped(&series.name)
            ));
        }
        push(format_args!(
            "</div><svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{}'>",
            self.title
        ));
        if let Some((from, to)) = self.window {
            let (left, right) = (frame.x(from), frame.x(to));
            push(format_args!(
                "<rect class='window' x='{left:.1}' y='{TOP}' width='{:.1}' height='{:.1}'/>",
                (right - left).max(0.0),
                BOTTOM - TOP
            ));
        }
        for (value, label) in frame.y_ticks() {
            let y = frame.y(value);
            push(format_args!(
                "<line class='grid' x1='{LEFT}' x2='{RIGHT}' y1='{y:.1}' y2='{y:.1}'/>"
            ));
            push(format_args!(
                "<text x='{:.1}' y='{:.1}' text-anchor='end'>{label}</text>",
                LEFT - 8.0,
                y + 4.0
            ));
        }
        for (value, label) in frame.x_ticks() {
            let x = frame.x(value);
            push(format_args!(
                "<text x='{x:.1}' y='{:.1}' text-anchor='middle'>{label}</text>",
                BOTTOM + 18.0
            ));
        }
        push(format_args!(
            "<line class='axis' x1='{LEFT}' x2='{RIGHT}' y1='{BOTTOM}' y2='{BOTTOM}'/>"
        ));
        push(format_args!(
            "<text class='unit' x='{LEFT}' y='{:.1}'>{}</text>",
            TOP - 10.0,
            self.y_unit
        ));
        push(format_args!(
            "<text class='unit' x='{RIGHT}' y='{:.1}' text-anchor='end'>{}</text>",
            HEIGHT - 4.0,
            self.x_unit
        ));
        for (number, series) in self.series.iter().enumerate() {
            let points = series
                .points
                .iter()
                .map(|(x, y)| format!("{:.1},{:.1}", frame.x(*x), frame.y(*y)));
            let points: Vec<String> = points.collect();
            push(format_args!(
                "<polyline class='s{}' points='{}'/>",
                number % COLOURS,
                points.join(" ")
            ));
        }
        push(format_args!(
            "<g class='reading'></g></svg><script type='application/json'>{}</script></figure>\n",
            self.data(&frame)
        ));
        html
    }

    /// What the page's script reads: for each line its name and its points, in places and in numbers.
    fn data(&self, frame: &Frame) -> String {
        let lines = self.series.iter().map(|series| {
            let points = series.points.iter().map(|(x, y)| {
                (
                    frame.x(*x).round(),
                    frame.y(*y).round(),
                    label(*x, self.x),
                    label(*y, self.y),
                )
            });
            (series.name.clone(), points.collect::<Vec<_>>())
        });
        let lines: Vec<_> = lines.collect();
        let text = serde_json::to_string(&(self.x_unit, self.y_unit, lines)).unwrap_or_default();
        // Inside of a script element only this could end it.
        text.replace("</", "<\\/")
    }
}

/// Where things are.
struct Frame {
    x: Axis,
    y: Axis,
}

struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Frame {
    fn of(chart: &Chart) -> Self {
        let points = || chart.series.iter().flat_map(|series| &series.points);
        let window = chart.window.into_iter().flat_map(|(from, to)| [from, to]);
        Self {
            x: Axis::over(chart.x, points().map(|(x, _)| *x).chain(window)),
            y: Axis::over(chart.y, points().map(|(_, y)| *y)),
        }
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - self.y.place(value) * (BOTTOM - TOP)
    }

    fn x_ticks(&self) -> Vec<(f64, String)> {
        self.x.ticks()
    }

    fn y_ticks(&self) -> Vec<(f64, String)> {
        self.y.ticks()
    }
}

impl Axis {
    fn over(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            (least, most) = (0.0, 1.0);
        }
        let (from, to) = match scale {
            Scale::Linear => (0.0, nice_above(most)),
            Scale::Exact => (0.0, most),
            Scale::Logarithmic => (
                10_f64.powf(least.max(0.001).log10().floor()),
                10_f64.powf(most.max(0.01).log10().ceil()),
            ),
            Scale::Nines => (0.5, most.clamp(0.9, 0.999_999)),
        };
        Self {
            scale,
            from,
            to: if to > from { to } else { from * 10.0 },
        }
    }

    /// 0 at its beginning, 1 at its end.
    fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.from, self.to);
        let measure = |value: f64| match self.scale {
            Scale::Linear | Scale::Exact => value,
            Scale::Logarithmic => value.log10(),
            Scale::Nines => -(1.0 - value).log10(),
        };
        let (from, to) = (measure(self.from), measure(self.to));
        (measure(value) - from) / (to - from)
    }

    fn ticks(&self) -> Vec<(f64, String)> {
        let values: Vec<f64> = match self.scale {
            Scale::Linear => {
                let step = self.to / 5.0;
                (0..=5).map(|number| step * f64::from(number)).collect()
            }
            Scale::Exact => {
                let step = nice_above(self.to / 8.0);
                let count = (self.to / step + 1e-9).floor() as u32;
                (0..=count).map(|number| step * f64::from(number)).collect()
            }
            Scale::Logarithmic => {
                let (from, to) = (
                    self.from.log10().round() as i32,
                    self.to.log10().round() as i32,
                );
                (from..=to).map(|power| 10_f64.powi(power)).collect()
            }
            Scale::Nines => vec![0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 0.99999],
        };
        let within = values
            .into_iter()
            .filter(|value| *value <= self.to * 1.000_001);
        within
            .map(|value| (value, label(value, self.scale)))
            .collect()
    }
}

/// The next of 1, 2, 2.5, 5, 10, ... that is not below.
fn nice_above(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    steps
        .iter()
        .map(|step| step * power)
        .find(|nice| *nice >= value * 0.999_999)
        .unwrap_or(value)
}

fn label(value: f64, scale: Scale) -> String {
    if scale == Scale::Nines {
        let percent = format!("{:.4}", value * 100.0);
        let percent = percent.trim_end_matches('0').trim_end_matches('.');
        return format!("{percent} %");
    }
    let text = match value.abs() {
        0.0 => "0".to_owned(),
        v if v >= 1e6 => format!("{:.2} M", value / 1e6),
        v if v >= 1e4 => format!("{:.1} k", value / 1e3),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    };
    let (number, unit) = text.split_once(' ').unwrap_or((&text, ""));
    match number.contains('.') {
        true => format!(
            "{}{unit}",
            number.trim_end_matches('0').trim_end_matches('.')
        ),
        false => format!("{number}{unit}"),
    }
}

/// Text in HTML, attributes included.
pub fn escaped(text: &str) -> String {
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    text.replace('\'', "&#39;").replace('"', "&quot;")
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 626.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 236.0;
/// Of lines, in the page's style.
const COLOURS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_above_all_values() {
        for (value, wanted) in [
            (0.0, 1.0),
            (1.0, 1.0),
            (1.2, 1.5),
            (73.0, 80.0),
            (99_000.0, 100_000.0),
        ] {
            assert!((nice_above(value) - wanted).abs() < 1e-6, "{value}");
        }
        for (value, scale, wanted) in [
            (0.0, Scale::Linear, "0"),
            (1_500.0, Scale::Linear, "1500"),
            (25_000.0, Scale::Linear, "25k"),
            (0.1, Scale::Logarithmic, "0.1"),
            (20.0, Scale::Linear, "20"),
            (0.999, Scale::Nines, "99.9 %"),
            (0.5, Scale::Nines, "50 %"),
        ] {
            assert_eq!(label(value, scale), wanted);
        }
        let time = Axis::over(Scale::Exact, [0.0, 33.0].into_iter());
        let ticks: Vec<String> = time.ticks().into_iter().map(|(_, text)| text).collect();
        assert_eq!(ticks, ["0", "5", "10", "15", "20", "25", "30"]);
        assert_eq!(time.place(33.0), 1.0);
    }

    #[test]
    fn every_line_stays_within_its_frame() {
        for (x, y) in [
            (Scale::Linear, Scale::Linear),
            (Scale::Nines, Scale::Logarithmic),
        ] {
            let points = vec![(0.0, 0.0), (0.6, 3.0), (0.999_999_9, 1e9), (f64::NAN, 1.0)];
            let series = vec![Series {
                name: "a<b".to_owned(),
                points,
            }];
            let chart = Chart {
                title: "t",
                explanation: "e",
                x,
                x_unit: "s",
                y,
                y_unit: "ms",
                series,
                window: None,
            };
            let frame = Frame::of(&chart);
            for (x, y) in &chart.series[0].points[..3] {
                assert!(
                    (LEFT..=RIGHT).contains(&frame.x(*x)) && (TOP..=BOTTOM).contains(&frame.y(*y))
                );
            }
            assert!(chart.html().contains("a&lt;b"));
        }
    }
}
