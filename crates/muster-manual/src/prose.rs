//! Plain text as paragraphs: what is indented, such as an example or a table, keeps its lines.

use roff::{Roff, roman};

/// Adds text to a page, below a heading.
pub(crate) fn add(roff: &mut Roff, text: &str) {
    let paragraphs = text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty());
    for (index, paragraph) in paragraphs.enumerate() {
        if index > 0 {
            roff.control("PP", []);
        }
        let lines: Vec<&str> = paragraph.lines().filter(|line| !line.trim().is_empty()).collect();
        for block in lines.chunk_by(|before, line| is_kept(before) == is_kept(line)) {
            if !is_kept(block[0]) {
                for line in block {
                    roff.text([roman(line.trim())]);
                }
                continue;
            }
            roff.control("RS", ["4"]);
            roff.control("nf", []);
            let margin = block.iter().map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
            for line in block {
                roff.text([roman(&line[margin..])]);
            }
            roff.control("fi", []);
            roff.control("RE", []);
        }
    }
}

/// Whether a line must not be filled.
fn is_kept(line: &str) -> bool {
    line.starts_with([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> String {
        let mut roff = Roff::new();
        add(&mut roff, text);
        roff.to_roff()
    }

    #[test]
    fn indented_lines_keep_their_ends_and_the_rest_is_filled() {
        assert_eq!(
            page("One\ntwo.\n\n  a   b\n    c\nThree."),
            "One\ntwo.\n.PP\n.RS 4\n.nf\na   b\n  c\n.fi\n.RE\nThree.\n"
        );
    }

    #[test]
    fn no_text_is_taken_for_a_request() {
        let page = page(".so /etc/passwd\n'br\n  .so x\na\\fBb");
        assert!(page.lines().all(|line| !line.starts_with(".so") && !line.starts_with('\'')), "{page}");
        assert!(page.contains("a\\\\fBb") || page.contains("a\\efBb"), "{page}");
    }
}
