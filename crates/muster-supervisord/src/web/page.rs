//! The pages as HTML, with the original's classes and links. Actions are forms, so that a browser does nothing by following
//! links ahead. All text is escaped.

use std::fmt::Write;

use super::form::quoted;
use crate::methods::{SUPERVISOR_VERSION, namespec};
use crate::status::{ProcessInfo, ProcessState};
use crate::xmlrpc::Value;

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n  <meta charset=\"utf-8\">\n  \
                    <meta name=\"viewport\" content=\"width=device-width\">\n  <title>";

/// All processes, with what can be done to each.
pub(super) fn status(infos: &[Value], message: Option<&str>) -> String {
    let mut page = format!("{HEAD}Supervisor Status</title>\n</head>\n<body>\n<h1>Supervisor Status</h1>\n");
    if let Some(message) = message {
        page.push_str("<div class=\"status_msg\">");
        push_escaped(message, &mut page);
        page.push_str("</div>\n");
    }
    page.push_str("<ul id=\"buttons\">\n");
    for (action, label) in [("refresh", "Refresh"), ("restartall", "Restart All"), ("stopall", "Stop All")] {
        push_button(&mut page, action, label, None);
    }
    page.push_str("</ul>\n");
    if infos.is_empty() {
        page.push_str("<p>No programs to manage</p>\n");
    } else {
        page.push_str(
            "<table>\n<thead><tr><th class=\"state\">State</th><th class=\"desc\">Description</th>\
             <th class=\"name\">Name</th><th class=\"action\">Action</th></tr></thead>\n<tbody>\n",
        );
        infos.iter().filter_map(ProcessInfo::from_value).for_each(|info| push_row(&mut page, &info));
        page.push_str("</tbody>\n</table>\n");
    }
    // Writing to a String cannot fail.
    let _ = write!(page, "<p>Supervisor {SUPERVISOR_VERSION} interface of musterd</p>\n</body>\n</html>\n");
    page
}

fn push_row(page: &mut String, info: &ProcessInfo) {
    let name = namespec(&info.group, &info.name);
    let class = match info.state {
        ProcessState::Running => "statusrunning",
        ProcessState::Fatal | ProcessState::Backoff => "statuserror",
        _ => "statusnominal",
    };
    let state = info.state.name().to_lowercase();
    let _ = write!(page, "<tr>\n<td class=\"status\"><span class=\"{class}\">{state}</span></td>\n<td><span>");
    push_escaped(&info.description, page);
    // Letters that are written from right to left must not move the text behind them.
    let _ = write!(page, "</span></td>\n<td><bdi><a href=\"tail.html?processname={}\">", in_link(&name));
    push_escaped(&name, page);
    page.push_str("</a></bdi></td>\n<td class=\"action\"><ul>\n");
    let actions: &[(&str, &str)] = match info.state {
        ProcessState::Running => &[("restart", "Restart"), ("stop", "Stop")],
        ProcessState::Stopped | ProcessState::Exited | ProcessState::Fatal => &[("start", "Start")],
        _ => &[],
    };
    for (action, label) in actions.iter().chain(&[("clearlog", "Clear Log")]) {
        push_button(page, action, label, Some(&name));
    }
    for (channel, label) in [("", "Tail -f Stdout"), ("/stderr", "Tail -f Stderr")] {
        let _ = writeln!(page, "<li><a href=\"logtail/{}{channel}\">{label}</a></li>", in_link(&name));
    }
    page.push_str("</ul></td>\n</tr>\n");
}

fn push_button(page: &mut String, action: &str, label: &str, name: Option<&str>) {
    let _ = write!(page, "<li><form action=\"index.html\" method=\"post\">");
    if let Some(name) = name {
        page.push_str("<input type=\"hidden\" name=\"processname\" value=\"");
        push_escaped(name, page);
        page.push_str("\">");
    }
    let _ = writeln!(page, "<button name=\"action\" value=\"{action}\">{label}</button></form></li>");
}

/// The end of a log; `of` is the process, and how much of its log it is.
pub(super) fn tail(of: Option<(&str, u64)>, text: &str) -> String {
    let mut page = format!("{HEAD}Supervisor tail of process ");
    push_escaped(of.map_or("None", |(name, _)| name), &mut page);
    // The first newline in a `pre` is not shown.
    page.push_str("</title>\n</head>\n<body>\n<pre>\n");
    push_escaped(text, &mut page);
    page.push_str("</pre>\n");
    if let Some((name, limit)) = of {
        let name = in_link(name);
        let _ = writeln!(page, "<p><a href=\"tail.html?processname={name}&amp;limit={limit}\">Refresh</a></p>");
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// A name as a part of a link: a slash in it is no separator.
fn in_link(name: &str) -> String {
    quoted(name).replace('/', "%2F")
}

/// Appends a text that HTML takes for nothing but text, also in an attribute with double quotes. Control characters but
/// tabs and line ends become U+FFFD, and so do the characters that change the direction of text.
fn push_escaped(text: &str, page: &mut String) {
    for c in text.chars() {
        match c {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            '\t' | '\n' => page.push(c),
            '\r' => {}
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => page.push('\u{fffd}'),
            c if c.is_control() => page.push('\u{fffd}'),
            c => page.push(c),
        }
    }
}
