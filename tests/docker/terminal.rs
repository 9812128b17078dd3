//! `docker run -t`: the daemon's output is a terminal, as when trying an image for the first time.

use crate::container::Recipe;
use crate::engine::{Libc, is_wanted, scratch, together};

const PROGRAMS: &str = "
[musterd]
exit_when_done = true
[program.hello]
command = \"/musterd --version\"
type = \"oneshot\"
";

#[test]
fn on_a_terminal_names_have_colours_and_nothing_panics() {
    if !is_wanted() {
        return;
    }
    let _beside = together();
    let (code, shown) = Recipe::of(scratch(Libc::Chosen)).options("--tty").config(PROGRAMS).run();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("panicked"), "{shown}");
    assert!(shown.contains("\x1b["), "no colours: {shown:?}");
    let (code, plain) = Recipe::of(scratch(Libc::Chosen)).config(PROGRAMS).run();
    assert_eq!(code, 0, "{plain}");
    assert!(!plain.contains('\x1b'), "colours where there is no terminal: {plain:?}");
    let (code, plain) = Recipe::of(scratch(Libc::Chosen)).options("--tty --env NO_COLOR=1").config(PROGRAMS).run();
    assert_eq!(code, 0, "{plain}");
    assert!(!plain.contains("\x1b["), "NO_COLOR: {plain:?}");
}
