//! The executable `musterctl`.

fn main() -> std::process::ExitCode {
    musterctl::main()
}
