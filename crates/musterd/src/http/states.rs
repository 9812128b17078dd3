//! The table of states in the page, for browsers without JavaScript. Every text is escaped: programs word some of it.

use muster_api::visible::is_unseen;
use muster_core::Instance;
use muster_spec::InstanceId;

use super::slices;
use super::view;
use crate::describe::describe;
use crate::shared::Shared;

/// The most rows. Browsers with JavaScript get them as well, and do not show them.
const MOST: usize = 500;

/// The page with the states of all instances in its place for them.
pub(super) async fn page_with_states(shared: &Shared) -> Vec<u8> {
    let page = muster_page::index().inflate();
    let page = String::from_utf8_lossy(&page);
    let (before, after) = page.split_once(muster_page::STATES).unwrap_or((&page, ""));
    let all: Vec<InstanceId> = shared.supervisor.borrow().snapshot().iter().map(Instance::id).collect();
    let omitted = all.len().saturating_sub(MOST);
    let mut open = before.to_owned();
    open.push_str("<table><caption>Programs at ");
    push_escaped(&view::date(shared, shared.clock.now()).to_string(), &mut open);
    open.push_str("</caption><thead><tr><th>name</th><th>state</th><th>description</th></tr></thead><tbody>\n");
    let rest = if omitted > 0 { format!("<p>and {omitted} more</p>") } else { String::new() };
    let close = format!("</tbody></table>{rest}{after}");
    let some = all.into_iter().take(MOST);
    let rows = slices::pieces(&shared.turns, open, some, |id, text| {
        let supervisor = shared.supervisor.borrow();
        // A reload may have removed it in the meantime.
        let Some(instance) = supervisor.get(id) else { return };
        let description = describe(shared, instance, shared.clock.now());
        row([instance.name(), instance.state().name(), &description], text);
    });
    let mut text = rows.await;
    text.push_str(&close);
    text.into_bytes()
}

fn row(cells: [&str; 3], text: &mut String) {
    text.push_str("<tr>");
    for cell in cells {
        text.push_str("<td><bdi>");
        push_escaped(cell, text);
        text.push_str("</bdi></td>");
    }
    text.push_str("</tr>\n");
}

/// Text that is no markup, and no character that changes how others are shown.
fn push_escaped(text: &str, page: &mut String) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            unseen if is_unseen(unseen) => page.push('\u{fffd}'),
            other => page.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_programs_is_no_markup() {
        let mut text = String::new();
        row(["</noscript><script>", "a&b'\"", "\u{202e}txt\u{7}"], &mut text);
        assert_eq!(
            text,
            "<tr><td><bdi>&lt;/noscript&gt;&lt;script&gt;</bdi></td><td><bdi>a&amp;b&#39;&quot;</bdi></td>\
             <td><bdi>\u{fffd}txt\u{fffd}</bdi></td></tr>\n"
        );
    }
}
