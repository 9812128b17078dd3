//! `[notify.NAME]`. The path of a webhook's address and the values of headers are secrets.

use muster_config::Disguises;
use muster_spec::arrange::Gather;
use muster_spec::{Delivery, NotifierSpec, NotifyCommand, Webhook, WebhookUrl};
use serde_json::{Map, Value, json};

use super::{masked, seconds, user};
use crate::in_force::InForce;
use crate::secrets::Reader;

/// All notifiers by their names, as this reader may see them.
pub fn notifiers(in_force: &InForce, reader: Reader) -> Value {
    let of = |spec: &NotifierSpec| (spec.name.clone(), notifier(spec, &in_force.disguises, reader));
    Value::Object(in_force.notifiers.iter().map(of).gather())
}

fn notifier(spec: &NotifierSpec, disguises: &Disguises, reader: Reader) -> Value {
    let NotifierSpec { name, on, programs, delivery, timeout, every, retries } = spec;
    let mut keys = Map::new();
    let mut put = |key: &str, value: Value| drop(keys.insert(key.to_owned(), value));
    put("on", on.iter().map(|kind| kind.name()).collect());
    put("programs", json!(programs));
    match delivery {
        Delivery::Exec(NotifyCommand { command, user: of }) => {
            put("exec", json!(command));
            put("user", json!(of.as_ref().map(user)));
        }
        Delivery::Webhook(webhook) => {
            let Webhook { url, headers, secret_file, cacert, insecure } = &**webhook;
            match url {
                WebhookUrl::Given(address) => put("webhook", json!(address.to_string())),
                WebhookUrl::File(path) => put("webhook_file", json!(path)),
            }
            let headers = headers.iter().map(|(name, _)| (name.clone(), json!("***")));
            put("headers", Value::Object(headers.gather()));
            put("secret_file", json!(secret_file));
            put("cacert", json!(cacert));
            put("insecure", json!(insecure));
        }
    }
    put("timeout", seconds(*timeout));
    put("every", seconds(*every));
    put("retries", json!(retries));
    let hidden = disguises.notifiers.iter().filter(|(of, _)| of == name).map(|(_, key)| *key);
    // Their values are hidden already.
    masked(keys, hidden.filter(|key| *key != "headers"), reader)
}
