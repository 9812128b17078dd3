//! `[supervisorctl]` of a supervisord.conf. Unlike the daemon, the client reads the main file only: `[include]` does not count.

use std::collections::HashMap;

use crate::expand::{self, Names};
use crate::ini::{self, Line};
use crate::paths;
use crate::python::{repr, strip, strip_end};

/// The keys of the section, expanded.
#[derive(Clone, PartialEq, Eq)]
pub struct Configuration {
    /// `serverurl`.
    pub serverurl: String,
    /// `username`.
    pub username: Option<String>,
    /// `password`.
    pub password: Option<String>,
    /// `prompt`.
    pub prompt: String,
    /// `history_file`, absolute.
    pub history_file: Option<String>,
}

impl Default for Configuration {
    fn default() -> Configuration {
        let (serverurl, prompt) = ("http://localhost:9001".to_owned(), "supervisor".to_owned());
        Configuration { serverurl, username: None, password: None, prompt, history_file: None }
    }
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").field("serverurl", &self.serverurl).finish_non_exhaustive()
    }
}

/// Reads the section in a file's text. `normalized` makes a path absolute, with `~` replaced.
///
/// An error is the original's text after `Error: `, without values that may be secret.
pub fn read(
    file: &str,
    text: &str,
    variables: &HashMap<String, String>,
    normalized: &dyn Fn(&str) -> String,
) -> Result<Configuration, String> {
    let sections = Sections::parse(file, text)?;
    let Some(section) = sections.named.get(SECTION) else {
        return Err(".ini file does not include supervisorctl section".to_owned());
    };
    let here = normalized(file);
    let here = paths::directory(&here);
    let value = |key: &str, here: Option<&str>| {
        let text = section.get(key).or_else(|| sections.defaults.get(key));
        text.map(|text| expanded(key, text, &Words { variables, here })).transpose()
    };
    let default = Configuration::default();
    let serverurl = value("serverurl", Some(here))?.unwrap_or(default.serverurl);
    let serverurl = match serverurl.strip_prefix("unix://") {
        Some(path) => format!("unix://{}", normalized(path)),
        None => serverurl,
    };
    let prompt = value("prompt", None)?.unwrap_or(default.prompt);
    let (username, password) = (value("username", None)?, value("password", None)?);
    let history_file = value("history_file", Some(here))?.filter(|path| !path.is_empty());
    let history_file = history_file.map(|path| normalized(&path));
    let mut plugins = sections.named.iter().filter(|(name, _)| name.starts_with("ctlplugin:"));
    if let Some((name, _)) = plugins.find(|(_, keys)| !keys.contains_key(FACTORY)) {
        return Err(format!("section [{name}] does not specify a {FACTORY}"));
    }
    Ok(Configuration { serverurl, username, password, prompt, history_file })
}

const SECTION: &str = "supervisorctl";
const FACTORY: &str = "supervisor.ctl_factory";

/// The names of one value.
struct Words<'w> {
    variables: &'w HashMap<String, String>,
    here: Option<&'w str>,
}

impl Names for Words<'_> {
    fn value(&self, name: &str) -> Option<expand::Value<'_>> {
        let text = match name.strip_prefix("ENV_") {
            Some(variable) => self.variables.get(variable).map(String::as_str),
            None => self.here.filter(|_| name == "here"),
        };
        text.map(expand::Value::Text)
    }
}

fn expanded(key: &str, text: &str, names: &Words<'_>) -> Result<String, String> {
    let shown = if key == "password" { "…".to_owned() } else { repr(text) };
    let format = format!("Format string {shown} for '{SECTION}.{key}'");
    expand::expand(text, names).map_err(|failure| match failure {
        expand::Failure::Unknown(name) => {
            let here = if names.here.is_some() { ", here" } else { "" };
            let name = repr(&name);
            format!("{format} contains names ({name}) which cannot be expanded. Available names: ENV_*{here}")
        }
        expand::Failure::Badly(reason) => format!("{format} is badly formatted: {reason}"),
        expand::Failure::Nameless => format!("{format} is badly formatted: write %% for a percent sign"),
        expand::Failure::TooLong => format!("{format} is longer than {} bytes", expand::LONGEST),
    })
}

type Keys = HashMap<String, String>;

/// A key, and the lines of its value so far.
type Open<'t> = (String, Vec<&'t str>);

/// All sections of a file.
#[derive(Default)]
struct Sections {
    named: HashMap<String, Keys>,
    defaults: Keys,
}

impl Sections {
    fn parse(file: &str, text: &str) -> Result<Sections, String> {
        let mut sections = Sections::default();
        let (mut section, mut open, mut indent) = (None::<String>, None::<Open<'_>>, 0);
        let mut bad = Vec::new();
        for (number, line) in (1..).zip(ini::lines(text)) {
            let line = Line::new(line);
            if line.value.is_empty() {
                if let (None, Some((_, lines))) = (line.comment, &mut open) {
                    lines.push("");
                }
                continue;
            }
            if let Some((_, lines)) = open.as_mut().filter(|_| line.indent() > indent) {
                lines.push(line.value);
                continue;
            }
            sections.close(section.as_deref(), open.take());
            indent = line.indent();
            match (line.header(), &section, line.option()) {
                (Some(name), ..) => {
                    sections.keys(name);
                    section = Some(name.to_owned());
                }
                (None, None, _) => {
                    return Err(format!("File contains no section headers.\nfile: {}, line: {number}", repr(file)));
                }
                (None, Some(_), Some((key, value))) => open = Some((key, vec![strip(value)])),
                (None, Some(_), None) => bad.push(format!("\n\t[line {number:2}]")),
            }
        }
        sections.close(section.as_deref(), open);
        match bad.is_empty() {
            true => Ok(sections),
            false => Err(format!("Source contains parsing errors: {}{}", repr(file), bad.concat())),
        }
    }

    fn keys(&mut self, section: &str) -> &mut Keys {
        match section {
            "DEFAULT" => &mut self.defaults,
            _ => self.named.entry(section.to_owned()).or_default(),
        }
    }

    fn close(&mut self, section: Option<&str>, open: Option<Open<'_>>) {
        if let (Some(section), Some((key, lines))) = (section, open) {
            self.keys(section).insert(key, strip_end(&lines.join("\n")).to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Configuration, String> {
        let variables = HashMap::from([("NAME".to_owned(), "me".to_owned())]);
        let home = |_: &str| Some("/home/me".to_owned());
        read("etc/s.conf", text, &variables, &|path| paths::absolute(&paths::expand_user(path, home), "/cwd"))
    }

    #[test]
    fn the_section_is_read_and_expanded() {
        let text = "[supervisord]\nenvironment=A=1\n[supervisorctl] ; c\nserverurl = unix://%(here)s/../x.sock\nusername=%(ENV_NAME)s\n\
                    password=a;b ;c\nprompt:p%%\nhistory_file=~/h\n";
        let expected = Configuration {
            serverurl: "unix:///cwd/x.sock".to_owned(),
            username: Some("me".to_owned()),
            password: Some("a;b".to_owned()),
            prompt: "p%".to_owned(),
            history_file: Some("/home/me/h".to_owned()),
        };
        assert_eq!(check(text), Ok(expected));
        assert_eq!(check("[supervisorctl]\n"), Ok(Configuration::default()));
        let default = check("[DEFAULT]\nusername=x\n[supervisorctl]\nhistory_file=\n").unwrap();
        assert_eq!((default.username.as_deref(), default.history_file), (Some("x"), None));
        let lines = check("[supervisorctl]\nusername=a\n  prompt=b\n\n  c\n").unwrap();
        assert_eq!((lines.username.as_deref(), lines.prompt.as_str()), (Some("a\nprompt=b\n\nc"), "supervisor"));
    }

    #[test]
    fn mistakes_are_reported_and_secrets_are_not() {
        for (text, expected) in [
            ("", ".ini file does not include supervisorctl section"),
            ("a=b\n", "File contains no section headers.\nfile: 'etc/s.conf', line: 1"),
            (
                "[supervisorctl]\npassword secret\n=x\n",
                "Source contains parsing errors: 'etc/s.conf'\n\t[line  2]\n\t[line  3]",
            ),
            (
                "[supervisorctl]\npassword=secret%\n",
                "Format string … for 'supervisorctl.password' is badly formatted: incomplete format",
            ),
            (
                "[supervisorctl]\nprompt=%(here)s\n",
                "Format string '%(here)s' for 'supervisorctl.prompt' contains names ('here') which cannot be expanded. \
                 Available names: ENV_*",
            ),
            ("[supervisorctl]\n[ctlplugin:x]\n", "section [ctlplugin:x] does not specify a supervisor.ctl_factory"),
        ] {
            assert_eq!(check(text), Err(expected.to_owned()), "{text:?}");
        }
    }
}
