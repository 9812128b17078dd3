//! The executable `musterd`.

fn main() -> std::process::ExitCode {
    musterd::main()
}
