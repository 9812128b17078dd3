//! A timeline as an SVG image: one lane for each instance, suitable for print.
//!
//! States are distinguished by hatching and labels, never by colour alone. Everything is within one file: no external fonts, scripts or
//! styles. Pure: a timeline in, text out.

use std::fmt::Write;

use muster_core::{Time, Verdict};
use muster_spec::{Span, State};

use crate::text::{account, clock};
use crate::timeline::{Timeline, What};

const WIDTH: f64 = 1000.0;
const LEFT: f64 = 120.0;
/// Space for the last run's exit.
const RIGHT: f64 = 74.0;
const TOP: f64 = 56.0;
const LANE: f64 = 46.0;
const BAR: f64 = 24.0;
/// The approximate width of a letter of the labels.
const LETTER: f64 = 6.2;

/// The style of each state: its fill, and whether text on it is white.
const LOOKS: [(State, &str, bool); 8] = [
    (State::Starting, "url(#starting)", false),
    (State::Running, "#555", true),
    (State::Backoff, "url(#backoff)", false),
    (State::Stopping, "url(#stopping)", false),
    (State::Stopped, "#fff", false),
    (State::Exited, "#ddd", false),
    (State::Fatal, "#000", true),
    (State::Waiting, "url(#waiting)", false),
];

const PATTERNS: &str = r##"<defs>
<pattern id="starting" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="6" height="6" fill="#fff"/><line x1="0" y1="0" x2="0" y2="6" stroke="#444" stroke-width="2"/></pattern>
<pattern id="backoff" width="5" height="5" patternUnits="userSpaceOnUse"><rect width="5" height="5" fill="#fff"/><circle cx="2.5" cy="2.5" r="0.9" fill="#444"/></pattern>
<pattern id="stopping" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><rect width="7" height="7" fill="#fff"/><path d="M0 0H7M0 0V7" stroke="#444" stroke-width="1.6"/></pattern>
<pattern id="waiting" width="6" height="6" patternUnits="userSpaceOnUse"><rect width="6" height="6" fill="#fff"/><line x1="0" y1="3" x2="6" y2="3" stroke="#888" stroke-width="1"/></pattern>
</defs>
"##;

/// The whole image.
pub(crate) fn drawing(timeline: &Timeline) -> String {
    let axis = Axis::of(timeline);
    let lanes = timeline.instances.len();
    let bottom = TOP + LANE * lanes as f64;
    let story = account(timeline);
    let told: Vec<&str> = story.lines().skip(lanes).collect();
    let height = bottom + 92.0 + 16.0 * told.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n"
    );
    let _ = writeln!(svg, "<title>{}</title>", escaped(told.first().unwrap_or(&"musterd simulate")));
    svg.push_str(PATTERNS);
    let _ = writeln!(svg, "<rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#fff\"/>");
    draw_axis(&mut svg, &axis, bottom);
    for index in 0..lanes {
        draw_lane(&mut svg, &axis, timeline, index);
    }
    draw_marks(&mut svg, &axis, timeline, bottom);
    draw_legend(&mut svg, bottom + 46.0);
    for (row, line) in told.iter().enumerate() {
        let y = bottom + 88.0 + 16.0 * row as f64;
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{y:.0}\" xml:space=\"preserve\">{}</text>", escaped(line));
    }
    svg.push_str("</svg>\n");
    svg
}

/// Maps times to positions.
struct Axis {
    end: f64,
    step: f64,
}

impl Axis {
    fn of(timeline: &Timeline) -> Axis {
        // Runs that continue at the end must be visible, even if nothing else happens.
        let last = timeline.ended.since_origin().as_secs_f64();
        let end = if timeline.exit.is_some() { last * 1.02 } else { last * 1.1 }.max(0.001);
        Axis { end, step: nice_step(end / 9.0) }
    }

    fn x(&self, at: Time) -> f64 {
        self.x_of(at.since_origin().as_secs_f64())
    }

    fn x_of(&self, seconds: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (seconds / self.end).min(1.0)
    }
}

/// The next round step: minutes are divided by sixty, everything else by ten.
fn nice_step(least: f64) -> f64 {
    const STEPS: [f64; 25] = [
        0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0,
        600.0, 1800.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0,
    ];
    let fits = STEPS.into_iter().find(|step| *step >= least);
    fits.unwrap_or_else(|| (least / 86400.0).ceil() * 86400.0)
}

fn draw_axis(svg: &mut String, axis: &Axis, bottom: f64) {
    let count = (axis.end / axis.step).floor() as usize;
    for tick in 0..=count {
        let seconds = tick as f64 * axis.step;
        let x = axis.x_of(seconds);
        let label = Span(std::time::Duration::from_secs_f64(seconds));
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.0}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\" stroke=\"#ccc\"/>\
             <text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#333\">{label}</text>",
            TOP - 8.0,
            TOP - 14.0
        );
    }
}

/// A state and its duration.
struct Stay {
    state: State,
    from: Time,
    to: Time,
}

fn stays(timeline: &Timeline, index: usize) -> Vec<Stay> {
    let mut stays = Vec::new();
    let mut now = (Time::ZERO, State::Stopped);
    for (at, change) in timeline.changes().filter(|(_, change)| change.instance.0 as usize == index) {
        stays.push(Stay { state: now.1, from: now.0, to: at });
        now = (at, change.to);
    }
    stays.push(Stay { state: now.1, from: now.0, to: timeline.ended });
    stays
}

fn draw_lane(svg: &mut String, axis: &Axis, timeline: &Timeline, index: usize) {
    let lane = &timeline.instances[index];
    let y = TOP + LANE * index as f64;
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" font-weight=\"bold\">{}</text>",
        LEFT - 10.0,
        y + 16.0,
        escaped(&lane.name)
    );
    if lane.is_essential {
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\" font-size=\"10\">essential</text>",
            LEFT - 10.0,
            y + 29.0
        );
    }
    let stays = stays(timeline, index);
    let last = stays.len() - 1;
    for (position, stay) in stays.iter().enumerate() {
        let is_last = position == last;
        let x = axis.x(stay.from);
        // The last state is drawn to the edge unless the container has exited.
        let end = if is_last && timeline.exit.is_none() { WIDTH - RIGHT } else { axis.x(stay.to) };
        draw_stay(svg, stay.state, x, y, end - x, is_last);
    }
    draw_bands(svg, axis, timeline, index, y);
    draw_ends(svg, axis, timeline, index, y);
}

fn draw_stay(svg: &mut String, state: State, x: f64, y: f64, width: f64, is_last: bool) {
    let looks = LOOKS.iter().find(|(known, ..)| *known == state);
    let (fill, is_dark) = looks.map_or(("#fff", false), |&(_, fill, is_dark)| (fill, is_dark));
    if width > 0.0 && state != State::Stopped {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{fill}\" stroke=\"#000\" stroke-width=\"0.7\"/>",
            width.max(0.8)
        );
    }
    let label = LETTER * state.name().len() as f64 + 14.0;
    if width > label && state != State::Stopped {
        let (colour, back) = if is_dark { ("#fff", "") } else { ("#000", "#fff") };
        if !back.is_empty() {
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"14\" fill=\"{back}\"/>",
                x + 4.0,
                y + 5.0,
                label - 6.0
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" font-size=\"10\" fill=\"{colour}\">{state}</text>",
            x + 7.0,
            y + 16.0
        );
    } else if is_last && matches!(state, State::Fatal | State::Exited | State::Stopped) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" font-size=\"10\" text-anchor=\"end\">{state}</text>",
            (x + width).min(WIDTH - RIGHT) - 2.0,
            y - 3.0
        );
    }
}

/// The range in which the next run could have begun, as a band at the foot of the lane if jitter is involved.
fn draw_bands(svg: &mut String, axis: &Axis, timeline: &Timeline, index: usize, y: f64) {
    for (at, change) in timeline.changes().filter(|(_, change)| change.instance.0 as usize == index) {
        let Some(Verdict::Again(again)) = change.verdict.filter(|_| at <= timeline.ended) else { continue };
        if !again.is_random() {
            continue;
        }
        let (from, to) = (axis.x(at + again.delay_min), axis.x(at + again.delay_max));
        let _ = writeln!(
            svg,
            "<rect class=\"jitter\" x=\"{from:.1}\" y=\"{:.0}\" width=\"{:.1}\" height=\"4\" fill=\"none\" stroke=\"#000\" \
             stroke-width=\"0.7\"><title>by jitter from {} to {}</title></rect>",
            y + BAR - 4.0,
            (to - from).max(0.8),
            Span(again.delay_min),
            Span(again.delay_max)
        );
    }
}

/// How runs ended, below the lane if there is space.
fn draw_ends(svg: &mut String, axis: &Axis, timeline: &Timeline, index: usize, y: f64) {
    let mut free = 0.0;
    for (at, change) in timeline.changes().filter(|(_, change)| change.instance.0 as usize == index) {
        let Some((end, _)) = &change.ended else { continue };
        let x = axis.x(at);
        let words = match end {
            muster_spec::RunEnd::Exited(muster_spec::Exit::Code(code)) => format!("✕ {code}"),
            muster_spec::RunEnd::Exited(muster_spec::Exit::Signal { signal, .. }) => format!("✕ {signal}"),
            muster_spec::RunEnd::MainLost => "✕ main process lost".to_owned(),
            muster_spec::RunEnd::NotSpawned(_) => "✕ spawn error".to_owned(),
        };
        if x >= free {
            let _ = writeln!(
                svg,
                "<text x=\"{x:.1}\" y=\"{:.0}\" font-size=\"10\">{}</text>",
                y + BAR + 12.0,
                escaped(&words)
            );
            free = x + LETTER * words.chars().count() as f64 + 4.0;
        }
    }
}

/// The shutdown and the container's exit, across all lanes.
fn draw_marks(svg: &mut String, axis: &Axis, timeline: &Timeline, bottom: f64) {
    for moment in &timeline.moments {
        let (label, dash) = match &moment.what {
            What::ShutdownBegan { .. } => ("shutdown".to_owned(), " stroke-dasharray=\"5 3\""),
            What::Exited(exit) => (format!("exit {} at {}", exit.code, clock(moment.at)), ""),
            _ => continue,
        };
        let (x, y) = (axis.x(moment.at), if dash.is_empty() { bottom + 14.0 } else { bottom + 28.0 });
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.0}\" x2=\"{x:.1}\" y2=\"{bottom:.0}\" stroke=\"#000\" stroke-width=\"1.6\"{dash}/>\
             <text x=\"{:.1}\" y=\"{y:.0}\" text-anchor=\"end\" font-weight=\"bold\">{}</text>",
            TOP - 8.0,
            x + 2.0,
            escaped(&label)
        );
    }
}

fn draw_legend(svg: &mut String, y: f64) {
    let mut x = LEFT;
    for (state, fill, _) in LOOKS {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"22\" height=\"12\" fill=\"{fill}\" stroke=\"#000\" stroke-width=\"0.7\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" font-size=\"10\">{state}</text>",
            y - 10.0,
            x + 27.0,
            y
        );
        x += 104.0;
    }
    let _ = writeln!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.0}\" font-size=\"10\">✕ a run ended, with its exit status or signal</text>",
        y + 18.0
    );
}

/// Text escaped for XML, including attributes; control characters are replaced.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '\n' | '\t' => safe.push(letter),
            letter if letter.is_control() => safe.push('\u{fffd}'),
            letter => safe.push(letter),
        }
    }
    safe
}
