//! Copies of a loaded configuration that share nothing with the original. Everything that a load allocates can then be freed
//! as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use muster_spec::{InstanceSpec, Spec};

use crate::build::Loaded;
use crate::secrets::{Disguise, Disguises};

/// The copies of instances, by their originals.
type Copies<'a> = HashMap<*const InstanceSpec, &'a Arc<InstanceSpec>>;

impl Loaded {
    /// A copy, without the texts and places that later checks would need.
    pub fn copied(&self) -> Loaded {
        let spec = self.spec.as_ref().map(Spec::copied);
        let copies = match (&self.spec, &spec) {
            (Some(spec), Some(copy)) if !self.disguises.instances.is_empty() => copies(spec, copy),
            _ => HashMap::new(),
        };
        Loaded {
            files: self.files.clone(),
            diagnostics: self.diagnostics.clone(),
            disguises: self.disguises.copied(&copies),
            looked_at: self.looked_at.clone(),
            texts: Vec::new(),
            places: Vec::new(),
            clients_at: None,
            spec,
        }
    }
}

fn copies<'a>(spec: &Spec, copy: &'a Spec) -> Copies<'a> {
    let programs = spec.programs.iter().zip(&copy.programs);
    let instances = programs.flat_map(|(program, copy)| program.instances.iter().zip(&copy.instances));
    instances.map(|(instance, copy)| (Arc::as_ptr(instance), copy)).collect()
}

impl Disguises {
    fn copied(&self, copies: &Copies<'_>) -> Disguises {
        let copied = |Disguise { real, shown, hidden }: &Disguise| Disguise {
            real: copies.get(&Arc::as_ptr(real)).map_or_else(|| real.copied().into(), |copy| Arc::clone(copy)),
            shown: shown.copied(),
            hidden: hidden.clone(),
        };
        Disguises {
            instances: self.instances.iter().map(copied).collect(),
            rules: self.rules.clone(),
            musterd: self.musterd.clone(),
            http: self.http.clone(),
            notifiers: self.notifiers.clone(),
            secrets: self.secrets.clone(),
            origins: self.origins.clone(),
        }
    }
}
