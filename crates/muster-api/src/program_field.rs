//! The fields of a program that a client asks for: `GET /v1/programs?fields=name,state`.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::program::Program;

macro_rules! fields {
    ($($variant:ident $field:ident,)*) => {
        /// A field of [`Program`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ProgramField {
            $(#[doc = concat!("`", stringify!($field), "`.")] $variant,)*
        }

        impl ProgramField {
            /// All of them, in the order in which they are sent.
            pub const ALL: &[ProgramField] = &[$(ProgramField::$variant,)*];

            /// Its name, as in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(ProgramField::$variant => stringify!($field),)*
                }
            }

            fn write<M: SerializeMap>(self, program: &Program, map: &mut M) -> Result<(), M::Error> {
                match self {
                    $(ProgramField::$variant => map.serialize_entry(stringify!($field), &program.$field),)*
                }
            }
        }
    };
}

fields! {
    Name name,
    Program program,
    Group group,
    Goal goal,
    State state,
    Code code,
    Ready ready,
    Health health,
    Status status,
    Pid pid,
    Run run,
    StartedAt started_at,
    Uptime uptime,
    Failures failures,
    Startretries startretries,
    NextStartAt next_start_at,
    Exit exit,
    WaitingFor waiting_for,
    WaitsInVain waits_in_vain,
    AwaitsClient awaits_client,
    Autostart autostart,
    Priority priority,
    Description description,
    Phase phase,
    Rolling rolling,
    OldProcess old_process,
    NextDue next_due,
    StoppedBy stopped_by,
}

/// Some fields of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramFields(u32);

impl ProgramFields {
    /// All of them.
    pub const ALL: ProgramFields = ProgramFields::of(ProgramField::ALL);

    /// These.
    pub const fn of(fields: &[ProgramField]) -> ProgramFields {
        let (mut bits, mut at) = (0, 0);
        while at < fields.len() {
            bits |= 1 << fields[at] as u32;
            at += 1;
        }
        ProgramFields(bits)
    }

    /// These and others.
    pub const fn and(self, fields: &[ProgramField]) -> ProgramFields {
        ProgramFields(self.0 | ProgramFields::of(fields).0)
    }

    /// Parses names separated by commas; `None` if one of them is no field.
    pub fn parse(text: &str) -> Option<ProgramFields> {
        let field = |name: &str| ProgramField::ALL.iter().copied().find(|field| field.name() == name);
        let fields: Vec<ProgramField> = text.split(',').map(field).collect::<Option<_>>()?;
        Some(ProgramFields::of(&fields))
    }

    /// Whether this one is among them.
    pub const fn has(self, field: ProgramField) -> bool {
        self.0 & 1 << field as u32 != 0
    }

    fn iter(self) -> impl Iterator<Item = ProgramField> {
        ProgramField::ALL.iter().copied().filter(move |&field| self.has(field))
    }
}

/// As in the parameter.
impl fmt::Display for ProgramFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, field) in self.iter().enumerate() {
            write!(f, "{}{}", if place == 0 { "" } else { "," }, field.name())?;
        }
        Ok(())
    }
}

/// A program of which only some fields are sent.
#[derive(Debug)]
pub struct PartOfProgram<'a> {
    /// The program. The other fields may have any value.
    pub program: &'a Program,
    /// The fields.
    pub fields: ProgramFields,
}

impl Serialize for PartOfProgram<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for field in self.fields.iter() {
            field.write(self.program, &mut map)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::example;

    fn example() -> Program {
        serde_json::from_value(example::of("Program").unwrap()).unwrap()
    }

    #[test]
    fn all_fields_are_the_whole_program() {
        let program = example();
        let part = PartOfProgram { program: &program, fields: ProgramFields::ALL };
        assert_eq!(serde_json::to_string(&part).unwrap(), serde_json::to_string(&program).unwrap());
    }

    #[test]
    fn only_the_fields_that_are_asked_for_are_sent() {
        let program = example();
        for (asked, sent) in [("pid,name", ["name", "pid"]), ("exit,state,exit", ["state", "exit"])] {
            let fields = ProgramFields::parse(asked).unwrap();
            let part = serde_json::to_value(PartOfProgram { program: &program, fields }).unwrap();
            let keys: Vec<&String> = part.as_object().unwrap().keys().collect();
            assert_eq!(keys.len(), sent.len());
            let whole: Value = serde_json::to_value(&program).unwrap();
            assert!(sent.iter().all(|&key| part[key] == whole[key]), "{part}");
        }
    }

    #[test]
    fn names_are_parsed_and_written() {
        let fields = ProgramFields::of(&[ProgramField::StoppedBy, ProgramField::Name]);
        assert_eq!(fields.to_string(), "name,stopped_by");
        assert_eq!(ProgramFields::parse("name,stopped_by"), Some(fields));
        assert_eq!(ProgramFields::parse(&ProgramFields::ALL.to_string()), Some(ProgramFields::ALL));
        for text in ["", ",", "name,", "nmae", "name, state", "Name"] {
            assert_eq!(ProgramFields::parse(text), None, "{text:?}");
        }
    }
}
