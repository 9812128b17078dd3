//! The pages of `top`, as text for a screen of a given size. Pure: all data is passed in.

use muster_api::{Info, Program, State};

use super::figures::Figures;
use crate::output::{HEADING, paint, printable, state_style};
use crate::span;

const HELP: &str = "up/down select  s start  x stop  r restart  l logs  w why  q quit";
const HELP_TEXT: &str = "esc back  q quit";
const SELECTED: &str = "\x1b[7m";
const PLAIN: &str = "\x1b[0m";

/// A screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) coloured: bool,
}

/// The table of programs.
pub(crate) struct Table<'a> {
    pub(crate) info: &'a Info,
    pub(crate) programs: &'a [Program],
    pub(crate) figures: &'a Figures,
    pub(crate) selected: usize,
    /// The result of the last key.
    pub(crate) message: &'a str,
}

impl Table<'_> {
    /// The whole screen: a line about the daemon, headings, as many programs as fit around the selected one, a line of help.
    pub(crate) fn draw(&self, screen: Screen) -> String {
        let mut lines = vec![self.heading(), titles(self.name_width())];
        let room = rows(screen.height);
        let first = first_row(self.selected, self.programs.len(), room);
        let shown = self.programs.iter().enumerate().skip(first).take(room);
        lines.iter_mut().for_each(|line| *line = cut(line, screen.width));
        lines[1] = heading(&lines[1], screen.coloured);
        lines.extend(shown.map(|(place, program)| self.row(program, place == self.selected, screen)));
        lines.resize(room + 2, String::new());
        lines.push(cut(if self.message.is_empty() { HELP } else { self.message }, screen.width));
        finish(&lines)
    }

    fn heading(&self) -> String {
        let count = |state| self.programs.iter().filter(|program| program.state == state).count();
        let others = [State::Starting, State::Backoff, State::Stopping, State::Waiting, State::Fatal];
        let others = others.into_iter().map(|state| (count(state), state)).filter(|(count, _)| *count > 0);
        let others: String = others.map(|(count, state)| format!(", {count} {state}")).collect();
        let Info { version, pid, uptime, .. } = self.info;
        let all = self.programs.len();
        format!(
            "musterd {version}, pid {pid}, up {}: {} of {all} RUNNING{others}",
            span::format_uptime(*uptime),
            count(State::Running)
        )
    }

    fn name_width(&self) -> usize {
        let longest = self.programs.iter().map(|program| program.name.chars().count()).max().unwrap_or(0);
        longest.clamp(4, 32)
    }

    fn row(&self, program: &Program, is_selected: bool, screen: Screen) -> String {
        // Without a process there is nothing to measure; the last metrics belong to an exited one.
        let figure = self.figures.of(&program.name);
        let (cpu, memory) =
            (figure.cpu.filter(|_| program.pid.is_some()), figure.memory.filter(|_| program.pid.is_some()));
        let name = cut(&printable(&program.name), self.name_width());
        let pid = program.pid.map(|pid| pid.to_string()).unwrap_or_default();
        let uptime = program.uptime.map(span::format_uptime).unwrap_or_default();
        let cpu = cpu.map(|cpu| format!("{:.1}%", cpu * 100.0)).unwrap_or_default();
        let memory = memory.map(bytes).unwrap_or_default();
        let description = without_columns(&program.description);
        let before = format!("{name:<width$}  ", width = self.name_width());
        let state = format!("{:<9}", program.state.name());
        let after =
            format!(" {pid:>7} {uptime:>16} {cpu:>7} {memory:>8} {:>8}  {}", figure.restarts, printable(&description));
        let whole = cut(&format!("{before}{state}{after}"), screen.width);
        if is_selected {
            return format!("{SELECTED}{whole:<width$}{PLAIN}", width = screen.width);
        }
        // Colours take no space, so they are added after the line was cut.
        match (whole.strip_prefix(&before), screen.coloured) {
            (Some(rest), true) if rest.starts_with(&state) => {
                let mut line = before.clone();
                paint(&mut line, true, state_style(program.state), &state);
                line + &rest[state.len()..]
            }
            _ => whole,
        }
    }
}

/// A description without the pid and uptime, which have their own columns.
fn without_columns(description: &str) -> String {
    let mut parts = description.split(", ").peekable();
    let mut left: Vec<&str> = Vec::new();
    while let Some(part) = parts.next() {
        let is_pid = part.strip_prefix("pid ").is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()));
        // `uptime 2 days, 3:04:05`
        if part.starts_with("uptime ") && (part.ends_with(" day") || part.ends_with(" days")) {
            parts.next();
        } else if !is_pid && !part.starts_with("uptime ") {
            left.push(part);
        }
    }
    left.join(", ")
}

fn titles(name_width: usize) -> String {
    let (name, state) = ("NAME", "STATE");
    format!(
        "{name:<name_width$}  {state:<9} {:>7} {:>16} {:>7} {:>8} {:>8}",
        "PID", "UPTIME", "CPU", "MEMORY", "RESTARTS"
    )
}

fn heading(text: &str, coloured: bool) -> String {
    let mut line = String::new();
    paint(&mut line, coloured, HEADING, text);
    line
}

/// How many programs fit.
pub(crate) fn rows(height: usize) -> usize {
    height.saturating_sub(3).max(1)
}

/// The first row to show, so that the selected one is visible.
fn first_row(selected: usize, all: usize, room: usize) -> usize {
    let middle = selected.saturating_sub(room / 2);
    middle.min(all.saturating_sub(room))
}

/// The last lines of text that fit; long ones are cut. Below them, the result of the last key.
pub(crate) fn text(title: &str, lines: &[String], message: &str, screen: Screen) -> String {
    let room = rows(screen.height) + 1;
    let shown = &lines[lines.len().saturating_sub(room)..];
    let mut all = vec![heading(&cut(&printable(title), screen.width), screen.coloured)];
    all.extend(shown.iter().map(|line| cut(&printable(line), screen.width)));
    all.resize(room + 1, String::new());
    all.push(cut(if message.is_empty() { HELP_TEXT } else { message }, screen.width));
    finish(&all)
}

/// Cuts the text to at most this many characters.
fn cut(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

/// Draws every line from the top over the previous content. The last one has no newline, which would scroll.
fn finish(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\x1b[K")).collect();
    format!("\x1b[H{}\x1b[J", lines.join("\r\n"))
}

/// `512K`, `5.0M`, `1.2G`.
fn bytes(count: f64) -> String {
    const KIB: f64 = 1024.0;
    match count {
        _ if count < KIB * KIB => format!("{:.0}K", count / KIB),
        _ if count < KIB * KIB * KIB => format!("{:.1}M", count / KIB / KIB),
        _ => format!("{:.1}G", count / KIB / KIB / KIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{down, info, program};

    const PLAIN_80: Screen = Screen { width: 80, height: 24, coloured: false };

    fn drawn(programs: &[Program], selected: usize, screen: Screen) -> Vec<String> {
        let (info, figures) = (info(), Figures::default());
        let table = Table { info: &info, programs, figures: &figures, selected, message: "" };
        let text = table.draw(screen).replace("\x1b[H", "").replace("\x1b[J", "").replace("\x1b[K", "");
        text.split("\r\n").map(str::to_owned).collect()
    }

    #[test]
    fn a_screen_has_as_many_lines_as_it_is_high_and_none_is_too_wide() {
        let programs: Vec<Program> = (0..100).map(|number| program(&format!("worker-{number}"))).collect();
        for (width, height) in [(80, 24), (20, 5), (200, 60), (1, 4)] {
            let lines = drawn(&programs, 50, Screen { width, height, coloured: false });
            assert_eq!(lines.len(), height, "{width}x{height}");
            for line in &lines {
                let seen = line.replace(SELECTED, "").replace(PLAIN, "");
                assert!(seen.chars().count() <= width, "{width}x{height}: {seen:?}");
            }
            assert!(lines.iter().any(|line| line.starts_with(SELECTED)), "the selected one is there");
        }
    }

    #[test]
    fn the_selected_one_is_always_in_sight() {
        for (selected, all, room, first) in
            [(0, 100, 21, 0), (99, 100, 21, 79), (50, 100, 21, 40), (2, 3, 21, 0), (0, 0, 21, 0)]
        {
            assert_eq!(first_row(selected, all, room), first, "{selected} of {all}");
        }
    }

    #[test]
    fn a_row_has_what_matters_and_nothing_that_a_terminal_obeys() {
        let programs = [program("web"), down("db", State::Fatal, "gave \x1b[2J up")];
        let lines = drawn(&programs, 0, PLAIN_80);
        assert!(lines[0].ends_with("1 of 2 RUNNING, 1 FATAL"), "{}", lines[0]);
        assert!(lines[2].contains("RUNNING") && lines[2].contains(" 12 ") && lines[2].contains("0:00:05"));
        assert!(lines[3].starts_with("db    FATAL") && !lines[3].contains('\x1b'), "{}", lines[3]);
        assert_eq!(lines.last().map(String::as_str), Some(HELP));
    }

    #[test]
    fn what_has_a_column_is_not_repeated() {
        for (description, left) in [
            ("pid 12, uptime 0:00:05", ""),
            ("pid 12, uptime 2 days, 3:04:05, not ready, warming up, slowly", "not ready, warming up, slowly"),
            ("pid 12, stopping for 2s", "stopping for 2s"),
            ("exit status 1; next start in 2s, attempt 3 of 10", "exit status 1; next start in 2s, attempt 3 of 10"),
        ] {
            assert_eq!(without_columns(description), left);
        }
    }

    #[test]
    fn what_has_no_process_has_no_memory() {
        let sample = "muster_program_memory_bytes{name=\"NAME\",program=\"x\",group=\"x\"} 5242880\n";
        let mut figures = Figures::default();
        let samples = sample.replace("NAME", "web") + &sample.replace("NAME", "db");
        figures.update(&samples, std::time::Instant::now());
        let (info, programs) = (info(), [program("web"), down("db", State::Backoff, "exit status 1")]);
        let table = Table { info: &info, programs: &programs, figures: &figures, selected: 9, message: "" };
        let text = table.draw(PLAIN_80);
        let rows: Vec<&str> = text.split("\r\n").collect();
        assert!(rows[2].contains("5.0M") && !rows[3].contains("5.0M"), "{rows:?}");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let programs = [program("web"), program("db")];
        let coloured = drawn(&programs, 0, Screen { coloured: true, ..PLAIN_80 });
        assert!(coloured[3].contains("\x1b[32mRUNNING"), "{:?}", coloured[3]);
    }

    #[test]
    fn memory_is_shown_in_its_natural_unit() {
        for (count, text) in [(0.0, "0K"), (524_288.0, "512K"), (5_242_880.0, "5.0M"), (1.5e9, "1.4G")] {
            assert_eq!(bytes(count), text);
        }
    }
}
