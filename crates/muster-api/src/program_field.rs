//! The fields of a program that a client asks for: `GET /v1/programs?fields=name,state`.

use std::fmt;

macro_rules! fields {
    ($($variant:ident $field:ident,)*) => {
        /// A field of [`crate::Program`].
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

    /// Each of them, in the order in which they are sent.
    pub fn iter(self) -> impl Iterator<Item = ProgramField> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;
    use crate::program::Program;

    #[test]
    fn all_fields_are_those_of_a_program_in_their_order() {
        let program: Program = serde_json::from_value(example::of("Program").unwrap()).unwrap();
        let text = serde_json::to_string(&program).unwrap();
        let place = |field: &ProgramField| text.find(&format!("\"{}\":", field.name())).unwrap();
        assert!(ProgramField::ALL.iter().map(place).is_sorted(), "{text}");
        let keys = serde_json::to_value(&program).unwrap().as_object().unwrap().len();
        assert_eq!(ProgramField::ALL.len(), keys);
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
