//! A copy of what was loaded is equal to it, and shares nothing with it.

use std::fs;
use std::sync::Arc;

use muster_config::{Source, load};

const TEXT: &str = r#"
[defaults]
environment = { PLAIN = "shown" }

[program.web]
command = ["serve", "--password", "${DB_PASSWORD}"]
numprocs = 2
env_file = "web.env"
secrets = { KEY = "/run/key" }
credentials = ["/run/tls.key"]
cpus = "0"
pre_start = { command = ["prepare"], once = true }
sockets = ["tcp://127.0.0.1:80"]

[program.reader]
command = "read"
stdin = "events"
events = ["state", "final"]
depends_on = ["web"]
"#;

/// The addresses of what is shared, in an order that both have; an empty list has none of its own.
fn shared(spec: &muster_spec::Spec) -> Vec<*const ()> {
    fn of<T: ?Sized>(value: &Arc<T>) -> *const () {
        Arc::as_ptr(value).cast()
    }
    fn of_list<T>(items: &Arc<[T]>) -> Option<*const ()> {
        (!items.is_empty()).then(|| of(items))
    }
    let mut found = Vec::new();
    for program in &spec.programs {
        found.push(of(program));
        for instance in &program.instances {
            let process = &instance.process;
            found.extend([of(instance), of(process), of(&instance.output)]);
            found.extend(instance.hooks.iter().map(|(_, hook)| of(hook)));
            found.extend(process.scheduling.cpus.as_ref().map(of));
            found.extend(of_list(&instance.variable_files));
            found.extend(of_list(&process.feed));
            found.extend(of_list(&process.sockets));
            found.extend(of_list(&process.secrets));
            found.extend(of_list(&process.credentials));
        }
    }
    found
}

#[test]
fn a_copy_is_equal_and_shares_nothing() {
    let here = tempfile::tempdir().expect("there is room");
    fs::write(here.path().join("c.toml"), TEXT).expect("there is room");
    fs::write(here.path().join("web.env"), "FROM_FILE=1\n").expect("there is room");
    let variables = |name: &str| (name == "DB_PASSWORD").then(|| "hunter22".to_owned());
    let loaded = load(&Source::unguarded(&[here.path().join("c.toml")], &variables, "box"));
    let copy = loaded.copied();
    assert!(loaded.spec.is_some(), "{}", loaded.render(false));
    let (original, copied) = (loaded.spec.as_ref().expect("no mistake"), copy.spec.as_ref().expect("it has one, too"));
    assert_eq!(original, copied);
    assert_eq!((&loaded.files, &loaded.looked_at), (&copy.files, &copy.looked_at));
    assert_eq!(format!("{:?}", loaded.disguises), format!("{:?}", copy.disguises));
    let disguised: Vec<_> = copy.disguises.instances.iter().map(|disguise| Arc::as_ptr(&disguise.real)).collect();
    let instances: Vec<_> = copied.programs[1].instances.iter().map(Arc::as_ptr).collect();
    assert_eq!(disguised, instances, "they have secrets, and are there once");

    let (before, after) = (shared(original), shared(copied));
    assert_eq!(before.len(), after.len());
    assert!(before.len() > 18, "{}", before.len());
    assert!(!after.iter().any(|address| before.contains(address)));
    let [one, other] = &copied.programs[1].instances[..] else { panic!("there are two") };
    assert!(Arc::ptr_eq(&one.output, &other.output), "what instances share, their copies share");
}
