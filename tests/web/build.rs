//! Names the executables under test for the harness, which other packages get from cargo. `tests/web/run` builds them.

use std::path::Path;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["musterd", "musterctl", "muster"] {
        println!("cargo::rustc-env=CARGO_BIN_EXE_{name}={}", root.join("target/debug").join(name).display());
    }
}
