//! The services in a directory.

use muster_spec::arrange::Gather;
use std::collections::{BTreeMap, BTreeSet};

use super::Tree;

/// The kind of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Longrun,
    Oneshot,
    Bundle,
}

/// A service and its files.
#[derive(Clone, Debug)]
pub(super) struct Service {
    pub(super) kind: Kind,
    directory: String,
    files: BTreeSet<String>,
    /// Names of services, or of bundles of them.
    pub(super) dependencies: Vec<String>,
    /// Of a bundle its members, of a longrun the services that read its output.
    contents: Vec<String>,
    /// The services whose output it reads.
    producers: Vec<String>,
    /// The name of the pipeline that ends with it.
    pipeline: Option<String>,
    /// Whether a file `down` keeps it from starting.
    is_down: bool,
}

impl Service {
    /// The path of one of its files.
    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.directory)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains(name)
    }
}

/// All services, and the scripts besides.
#[derive(Debug, Default)]
pub(super) struct Services {
    pub(super) services: BTreeMap<String, Service>,
    /// `cont-init.d/*`, in order.
    pub(super) init: Vec<String>,
    /// The members of each pipeline.
    pipelines: BTreeMap<String, Vec<String>>,
    /// `cont-finish.d/*`, `fix-attrs.d/*`.
    pub(super) unsupported: Vec<String>,
}

/// The directories of services, and whether they are those of version 3, which also has one for its bundles.
const PARENTS: [(&str, bool); 3] = [("s6-rc.d", true), ("user-bundles.d", true), ("services.d", false)];

impl Services {
    pub(super) fn of(tree: &Tree) -> Services {
        let mut found = Services::default();
        let root = tree.root.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let mut groups: BTreeMap<(String, bool), BTreeSet<String>> = BTreeMap::new();
        for path in tree.files.keys() {
            let parts: Vec<&str> = path.split('/').collect();
            let parent =
                parts.iter().rposition(|part| matches!(*part, "cont-init.d" | "cont-finish.d" | "fix-attrs.d"));
            if let Some(parent) = parent.filter(|parent| parts.len() == parent + 2) {
                match parts[parent] {
                    "cont-init.d" => found.init.push(path.clone()),
                    _ => found.unsupported.push(path.clone()),
                }
                continue;
            }
            let is_new = |part: &&str| PARENTS.iter().find(|(name, _)| part == name).map(|(_, is_new)| *is_new);
            let known = parts.iter().enumerate().find_map(|(at, part)| Some((at + 1, is_new(part)?)));
            let (start, is_new) = match known {
                Some(known) => known,
                // The directory itself is one of services.
                None => (0, root == "s6-rc.d" || tree.files.contains_key(&format!("{}/type", parts[0]))),
            };
            if parts.len() > start + 1 {
                let directory = parts[..=start].join("/");
                groups.entry((directory, is_new)).or_default().insert(parts[start + 1..].join("/"));
            }
        }
        for ((directory, is_new), files) in groups {
            let name = directory.rsplit('/').next().unwrap_or_default().to_owned();
            if let Some(service) = service(tree, directory, is_new, files) {
                found.services.entry(name).or_insert(service);
            }
        }
        found.init.sort();
        found.pipelines = found.pipelines();
        found
    }

    /// The members of each pipeline, by its name, which stands at the last of them.
    fn pipelines(&self) -> BTreeMap<String, Vec<String>> {
        let loggers = self.loggers();
        let mut found = BTreeMap::new();
        for (last, service) in self.services.iter().filter(|(_, service)| service.contents.is_empty()) {
            let Some(name) = &service.pipeline else { continue };
            let (mut members, mut next) = (BTreeSet::new(), Some(last));
            while let Some(member) = next.filter(|member| members.insert((*member).clone())) {
                next = loggers.get(member);
            }
            found.insert(name.clone(), members.into_iter().collect());
        }
        found
    }

    /// The services of a name: its own, or those of the bundle or pipeline.
    pub(super) fn flat(&self, name: &str) -> Vec<String> {
        let (mut open, mut seen, mut found) = (vec![name.to_owned()], BTreeSet::new(), Vec::new());
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            match self.services.get(&name) {
                Some(service) if service.kind == Kind::Bundle => open.extend(service.contents.iter().cloned()),
                Some(_) => found.push(name),
                None => match self.pipelines.get(&name) {
                    Some(members) => open.extend(members.iter().cloned()),
                    None => found.push(name),
                },
            }
        }
        found
    }

    /// The services that start with the container.
    pub(super) fn started(&self) -> BTreeSet<String> {
        let bundles = ["user", "user2"].into_iter().filter(|name| self.services.contains_key(*name));
        let mut open: Vec<String> = bundles.flat_map(|name| self.flat(name)).collect();
        if open.is_empty() {
            open = self.services.keys().cloned().collect();
        } else {
            // Those of version 2 have no bundle.
            let old = self.services.iter().filter(|(_, service)| service.directory.contains("services.d/"));
            open.extend(old.map(|(name, _)| name.clone()));
        }
        open.retain(|name| self.services.get(name).is_some_and(|service| !service.is_down));
        let mut found = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !found.insert(name.clone()) {
                continue;
            }
            let service = self.services.get(&name);
            open.extend(service.into_iter().flat_map(|service| &service.dependencies).flat_map(|name| self.flat(name)));
        }
        found
    }

    /// Loggers that read another service's output, and that service.
    pub(super) fn loggers(&self) -> BTreeMap<String, String> {
        let longruns = || self.services.iter().filter(|(_, service)| service.kind == Kind::Longrun);
        let written = longruns().flat_map(|(name, service)| service.contents.iter().map(move |logger| (logger, name)));
        let read =
            longruns().flat_map(|(name, service)| service.producers.iter().map(move |producer| (name, producer)));
        let both = written.chain(read).filter(|(logger, producer)| {
            logger != producer && [logger, producer].iter().all(|name| self.services.contains_key(**name))
        });
        both.map(|(logger, producer)| (logger.clone(), producer.clone())).gather()
    }

    /// The path of a file in the container.
    pub(super) fn installed(&self, tree: &Tree, path: &str) -> String {
        let whole = format!("{}/{path}", tree.root.trim_end_matches('/'));
        match whole
            .find("etc/s6-overlay/")
            .or_else(|| whole.find("etc/services.d/"))
            .or_else(|| whole.find("etc/cont-init.d/"))
        {
            Some(at) => format!("/{}", &whole[at..]),
            None => whole,
        }
    }

    /// The file of the tree with this path in the container.
    pub(super) fn find(&self, tree: &Tree, installed: &str) -> Option<String> {
        let below = installed.trim_start_matches('/');
        tree.files.keys().find(|path| self.installed(tree, path) == installed || *path == below).cloned()
    }
}

fn service(tree: &Tree, directory: String, is_new: bool, files: BTreeSet<String>) -> Option<Service> {
    let text = |name: &str| {
        let text = tree.files.get(&format!("{directory}/{name}"));
        text.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    };
    let kind = match text("type").trim() {
        "longrun" => Kind::Longrun,
        "oneshot" => Kind::Oneshot,
        "bundle" => Kind::Bundle,
        _ if files.contains("run") => Kind::Longrun,
        _ if is_new && files.contains("up") => Kind::Oneshot,
        _ if is_new && files.iter().any(|file| file.starts_with("contents")) => Kind::Bundle,
        _ => return None,
    };
    if kind == Kind::Longrun && !files.contains("run") {
        return None;
    }
    let listed = |list: &str| -> Vec<String> {
        let below = format!("{list}.d/");
        let named = files.iter().filter_map(|file| file.strip_prefix(&below)).map(str::to_owned);
        named.chain(text(list).split_whitespace().map(str::to_owned)).collect()
    };
    let dependencies = listed("dependencies");
    let words = |name: &str| text(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let contents = if kind == Kind::Bundle { listed("contents") } else { words("producer-for") };
    let (producers, pipeline) = (words("consumer-for"), words("pipeline-name").into_iter().next());
    let is_down = kind == Kind::Longrun && files.contains("down");
    Some(Service { kind, directory, files, dependencies, contents, producers, pipeline, is_down })
}
