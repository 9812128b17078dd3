//! The effective configurations of the instances that were asked for last, as JSON: a client that polls an instance would otherwise
//! have the same text made again each time.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use muster_core::Instance;
use muster_load::effective_config;
use muster_load::in_force::InForce;
use muster_load::secrets::Reader;
use muster_spec::{InstanceSpec, ProgramSpec};
use serde_json::value::{RawValue, to_raw_value};

/// How many are kept: one for each instance and kind of reader.
const MOST: usize = 32;

/// The longest text that is kept, in bytes. With the defaults it is 1.7 KB.
const LONGEST: usize = 16 << 10;

/// The texts that are kept, the latest first.
#[derive(Default)]
pub(crate) struct Rendered(RefCell<VecDeque<Text>>);

/// A text and everything that it depends on besides the active secrets. The references keep the addresses of their objects, so that
/// no other object can have the same.
struct Text {
    program: Weak<ProgramSpec>,
    instance: Weak<InstanceSpec>,
    reader: Reader,
    json: Rc<RawValue>,
}

impl Text {
    fn is_of(&self, instance: &Instance, reader: Reader) -> bool {
        self.program.as_ptr() == Arc::as_ptr(instance.program())
            && self.instance.as_ptr() == Arc::as_ptr(instance.spec())
            && self.reader == reader
    }
}

impl Rendered {
    /// The configuration of this instance, as this reader may see it.
    pub(super) fn of(
        &self,
        instance: &Instance,
        in_force: &InForce,
        reader: Reader,
    ) -> Result<Rc<RawValue>, serde_json::Error> {
        let mut kept = self.0.borrow_mut();
        let place = kept.iter().position(|text| text.is_of(instance, reader));
        if let Some(text) = place.and_then(|place| kept.remove(place)) {
            let json = Rc::clone(&text.json);
            kept.push_front(text);
            return Ok(json);
        }
        let json: Rc<RawValue> = to_raw_value(&effective_config::configuration(instance, in_force, reader))?.into();
        if json.get().len() <= LONGEST {
            kept.truncate(MOST - 1);
            let (program, instance) = (Arc::downgrade(instance.program()), Arc::downgrade(instance.spec()));
            kept.push_front(Text { program, instance, reader, json: Rc::clone(&json) });
        }
        Ok(json)
    }

    /// Forgets all: secrets may be others.
    pub(super) fn forget(&self) {
        self.0.take();
    }
}

#[cfg(test)]
mod tests {
    use muster_core::{Settings, Supervisor};

    use super::*;

    /// The active configuration of these programs.
    fn active(text: &str) -> (Supervisor, InForce) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("muster.toml");
        std::fs::write(&path, text).unwrap();
        let loaded = muster_load::check::load(&[path], &muster_load::config_files::open);
        let spec = loaded.spec.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
        let supervisor = Supervisor::new(Settings::DEFAULT, &spec.programs, 1);
        (supervisor, InForce::new(spec.daemon, spec.control, Vec::new(), loaded.disguises))
    }

    #[test]
    fn a_text_is_made_once_for_each_reader() {
        let (supervisor, in_force) = active("[program.web]\ncommand = [\"web\", \"--password\", \"hunter2\"]");
        let (rendered, instance) = (Rendered::default(), &supervisor.snapshot()[0]);
        let of = |reader| rendered.of(instance, &in_force, reader).unwrap();
        let all = [of(Reader::Control), of(Reader::Look), of(Reader::Control), of(Reader::Look)];
        assert!(Rc::ptr_eq(&all[0], &all[2]) && Rc::ptr_eq(&all[1], &all[3]));
        assert_eq!([&all[0], &all[1]].map(|text| text.get().contains("hunter2")), [true, false]);
        rendered.forget();
        assert!(!Rc::ptr_eq(&all[0], &of(Reader::Control)));
    }

    #[test]
    fn the_latest_texts_are_kept_and_no_long_ones() {
        let many: String = (0..MOST + 5).map(|number| format!("[program.p{number:02}]\ncommand = \"web\"\n")).collect();
        let long = "x".repeat(LONGEST);
        let (supervisor, in_force) = active(&format!("{many}[program.z]\ncommand = [\"{long}\"]"));
        let (rendered, all) = (Rendered::default(), supervisor.snapshot());
        let of = |instance| rendered.of(instance, &in_force, Reader::Control).unwrap();
        let first = of(&all[0]);
        for instance in &all[1..MOST] {
            of(instance);
        }
        assert!(Rc::ptr_eq(&of(&all[0]), &first), "it was asked for again");
        for instance in &all[MOST..] {
            assert_eq!(of(instance).get().len() > LONGEST, instance.name() == "z");
        }
        assert!(Rc::ptr_eq(&of(&all[0]), &first), "others were asked for longer ago");
        assert_eq!(rendered.0.borrow().len(), MOST);
    }
}
