//! `[notify.NAME]`: what is read, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test may stop where it stands")]

#[allow(dead_code, reason = "each test binary uses another part of it")]
mod common;

use std::path::PathBuf;

use common::{Here, seconds, spec};
use muster_spec::{Delivery, NotifyOn, UserSpec, WebhookUrl};

const PROGRAM: &str = "[program.web]\ncommand = \"x\"\n";

#[test]
fn defaults_and_values() {
    let text = "[notify.every]\nexec = \"alert --now\"\n\
                [notify.ops]\non = [\"fatal\", \"oom\"]\nprograms = [\"w*\"]\nwebhook_file = \"/run/secrets/hook\"\n\
                headers = { X-Team = \"ops\" }\nsecret_file = \"/run/secrets/key\"\ncacert = \"/etc/ca.pem\"\ntimeout = \"2s\"\n\
                every = 0\nretries = 0\n";
    let spec = spec(&format!("{PROGRAM}{text}"));
    let [every, ops] = &spec.notifiers[..] else { panic!("{:?}", spec.notifiers) };
    assert_eq!(every.on, NotifyOn::ALL.map(|(_, kind)| kind));
    assert_eq!((every.timeout, every.every, every.retries), (seconds(10), seconds(60), 3));
    let Delivery::Exec(command) = &every.delivery else { panic!("{every:?}") };
    assert_eq!((&command.command[..], &command.user), (&["alert".to_owned(), "--now".to_owned()][..], &None));
    assert!(every.concerns(&spec.programs[0]) && ops.concerns(&spec.programs[0]));
    assert_eq!((&ops.on[..], ops.timeout), (&[NotifyOn::Fatal, NotifyOn::Oom][..], seconds(2)));
    assert_eq!((ops.every, ops.retries), (seconds(0), 0));
    let Delivery::Webhook(webhook) = &ops.delivery else { panic!("{ops:?}") };
    assert_eq!(webhook.url, WebhookUrl::File(PathBuf::from("/run/secrets/hook")));
    assert_eq!(webhook.headers, [("X-Team".to_owned(), "ops".to_owned())]);
    assert_eq!(webhook.secret_file.as_deref(), Some("/run/secrets/key".as_ref()));
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (keys, place, message, hint) in [
        ("on = \"fatal\"", "3:9", "notify \"x\": says nowhere where events are to go", "exec = "),
        (
            "exec = \"a\"\nwebhook = \"https://h/\"",
            "5:11",
            "exec and webhook exclude each other",
            "a second [notify.NAME]",
        ),
        ("exec = []", "4:8", "exec is empty", "name the program to run first"),
        ("exec = \"a\"\non = [\"fatl\"]", "5:7", "on must be \"fatal\"", "did you mean \"fatal\"?"),
        ("exec = \"a\"\non = []", "5:6", "on is empty", "leave it out"),
        ("exec = \"a\"\nsecret_file = \"/k\"", "5:15", "secret_file has no meaning for exec", "only webhooks"),
        ("webhook = \"https://h/\"\nuser = \"app\"", "5:8", "user has no meaning for a webhook", "the daemon itself"),
        ("webhook = \"http://h/\"", "4:11", "webhook is not encrypted", "insecure = true"),
        ("webhook = \"ftp://h/\"", "4:11", "webhook must begin with https:// or http://", "https://"),
        ("webhook = \"https://u:p@h/\"", "4:11", "webhook contains a user", "headers = "),
        ("webhook = \"https://h/\"\nheaders = { Host = \"x\" }", "5:20", "headers.Host is set by musterd itself", ""),
        ("webhook = \"https://h/\"\nheaders = { a = \"x\\r\\nHost: y\" }", "5:17", "headers.a must be plain ASCII", ""),
        ("exec = \"a\"\ntimeout = \"6m\"", "5:11", "timeout must be at most 5m", ""),
        ("exec = \"a\"\nretries = 11", "5:11", "retries must be a whole number from 0 to 10", ""),
        ("exec = \"a\"\nevery = \"2d\"", "5:9", "every must be at most 1d", ""),
        ("exce = \"a\"", "4:1", "unknown key \"exce\"", "did you mean exec?"),
    ] {
        let here = Here::new(&[("c.toml", &format!("{PROGRAM}[notify.x]\n{keys}\n"))]);
        let loaded = here.load(&["c.toml"]);
        let found = &loaded.diagnostics;
        assert!(loaded.spec.is_none() && found.len() == 1, "{keys}: {}", loaded.render(false));
        assert!(found[0].message.contains(message), "{keys}: {}", found[0].message);
        assert_eq!(format!("{}:{}", found[0].line, found[0].column), place, "{keys}");
        assert!(found[0].hint.as_deref().unwrap_or_default().contains(hint), "{keys}: {:?}", found[0].hint);
    }
}

#[test]
fn a_program_that_does_not_exist_is_a_warning() {
    let here = Here::new(&[("c.toml", &format!("{PROGRAM}[notify.x]\nexec = \"a\"\nprograms = [\"wbe\", \"q*\"]\n"))]);
    let loaded = here.load(&["c.toml"]);
    assert!(loaded.spec.is_some());
    assert_eq!(loaded.diagnostics.len(), 1, "{}", loaded.render(false));
    assert_eq!(loaded.diagnostics[0].message, "notify \"x\": there is no program \"wbe\"");
    assert_eq!(loaded.diagnostics[0].hint.as_deref(), Some("did you mean \"web\"?"));
}

/// A daemon that has become a user can start commands of no other.
#[test]
fn commands_have_the_user_of_the_daemon() {
    let own = Some(UserSpec { user: "app".to_owned(), group: None });
    let user = |keys: &str| {
        let text = format!("[musterd]\nuser = \"app\"\n{PROGRAM}[notify.x]\nexec = \"a\"\n{keys}\n");
        let loaded = Here::new(&[("c.toml", &text)]).load(&["c.toml"]);
        let Some(spec) = loaded.spec else { return Err(loaded.diagnostics[0].message.clone()) };
        let Delivery::Exec(command) = &spec.notifiers[0].delivery else { panic!() };
        Ok(command.user.clone())
    };
    assert_eq!((user(""), user("user = \"app\"")), (Ok(own.clone()), Ok(own)));
    let message = user("user = \"root\"").unwrap_err();
    assert_eq!(message, "notify \"x\": user cannot be root: the daemon becomes another one");
}
