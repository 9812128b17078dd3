//! `musterctl completions`: scripts for completion in shells.
//!
//! The scripts only pass the words to `musterctl __complete` and its lines back to the shell, so they need not
//! change when commands do, and program names come from the daemon at completion time.

use clap::ValueEnum;

use crate::failure::{Exit, Failure};
use crate::session::Session;

/// Print a shell script that completes commands, options and program names.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  musterctl completions bash > /etc/bash_completion.d/musterctl
  musterctl completions zsh > \"${fpath[1]}/_musterctl\"
  musterctl completions fish > ~/.config/fish/completions/musterctl.fish
  source <(musterctl completions bash)")]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args, session: &mut Session) -> Result<Exit, Failure> {
    session.out.push_str(match args.shell {
        Shell::Bash => BASH,
        Shell::Zsh => ZSH,
        Shell::Fish => FISH,
    });
    Ok(Exit::Well)
}

/// The line is split at blanks here instead of using COMP_WORDS, which bash also splits at colons and equals signs;
/// everything up to the last of these is cut off again, since bash replaces only the part after it.
const BASH: &str = r#"_musterctl() {
    local line="${COMP_LINE:0:COMP_POINT}" candidate kept
    local -a words
    read -ra words <<<"$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    local current="${words[${#words[@]}-1]}"
    kept="${current%"${current##*[:=]}"}"
    COMPREPLY=()
    while IFS=$'\t' read -r candidate _; do
        COMPREPLY+=("${candidate#"$kept"}")
    done < <("${words[0]}" __complete -- "${words[@]}" 2>/dev/null)
}
complete -F _musterctl musterctl
"#;

const ZSH: &str = r#"#compdef musterctl
_musterctl() {
    local -a candidates
    local line
    while IFS= read -r line; do
        candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done < <("${words[1]}" __complete -- "${(@)words[1,CURRENT]}" 2>/dev/null)
    _describe 'musterctl' candidates
}
if [ "$funcstack[1]" = "_musterctl" ]; then
    _musterctl "$@"
else
    compdef _musterctl musterctl
fi
"#;

const FISH: &str = r#"function __musterctl_complete
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete -- $words 2>/dev/null
end
complete -c musterctl -f -a '(__musterctl_complete)'
"#;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use crate::testing::Setting;

    #[test]
    fn every_shell_has_a_script_and_no_other() {
        for shell in ["bash", "zsh", "fish"] {
            let ended = Setting::default().run(&format!("completions {shell}"));
            assert_eq!(ended.code, 0);
            assert!(ended.out.contains("__complete -- "), "{}", ended.out);
        }
        assert_eq!(Setting::default().run("completions tcsh").code, 2);
    }

    /// The text that bash would insert for this line, with a stub that offers the same candidates everywhere.
    fn bash_inserts(line: &str) -> Vec<String> {
        let script = super::BASH;
        let test = format!(
            "musterctl() {{ printf '%s\\n' \"$@\" >&2; printf 'web:0\\tRUNNING\\nweb:1\\tFATAL\\n'; }}
            {script}
            COMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}}
            COMP_POINT=${{#COMP_LINE}}
            _musterctl
            printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let output = Command::new("bash").args(["--norc", "-c", &test]).output().expect("bash is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn bash_replaces_only_what_follows_the_colon() {
        assert_eq!(bash_inserts("musterctl start "), ["web:0", "web:1"]);
        assert_eq!(bash_inserts("musterctl start we"), ["web:0", "web:1"]);
        assert_eq!(bash_inserts("musterctl start web:"), ["0", "1"]);
    }
}
