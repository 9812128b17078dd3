//! The tarball beside busybox, in an image without a C library, a package manager or users.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::container::Recipe;
use crate::engine::{docker_ok, text};
use crate::{VERSION, Wanted, artefact, is_wanted, machine, run};

/// An image with only busybox, as Alpine and others build on it.
fn image() -> String {
    let root = tempfile::tempdir().expect("a temporary directory can be created");
    let path = |name: &str| root.path().join(name);
    for directory in ["bin", "etc", "tmp", "usr/local"] {
        fs::create_dir_all(path(directory)).expect("the test directory is writable");
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
    fs::copy(busybox.expect("busybox-static is installed"), path("bin/busybox")).expect("it can be copied");
    for tool in ["sh", "tar", "gzip", "sleep", "cat", "ls", "ps", "id"] {
        symlink("busybox", path("bin").join(tool)).expect("the test directory is writable");
    }
    fs::write(path("etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/tmp:/bin/sh\n").expect("it is writable");
    let name = "muster-artefacts-busybox:test";
    let import = format!("tar -C {} -c . | docker import - {name}", root.path().display());
    run(Command::new("sh").args(["-c", &import]));
    name.to_owned()
}

#[test]
fn the_tarball_is_unpacked_beside_busybox_and_runs_as_root_and_as_uid_1000() {
    if !is_wanted(Wanted::Some) {
        return;
    }
    let image = image();
    let tarball = artefact(&format!("muster-{VERSION}-{}-linux.tar.gz", machine()));
    let configuration = "[program.web]\ncommand = 'sleep 1000'\n[program.stray]\n\
                         command = ['sh', '-c', 'sleep 2000 & exec sleep 1000']\n";
    let install = "tar -xzf /tmp/muster-*.tar.gz -C /tmp && cp -a /tmp/muster-*-linux/* /usr/local/";
    let installer = Recipe::of(&image).copy(tarball, "/tmp/").command(&["/bin/sh", "-c", install]).start();
    assert_eq!(installer.wait(), 0, "{}", installer.logs());
    let name = "muster-artefacts-busybox-installed:test";
    docker_ok(["commit", "--change", "CMD [\"musterd\"]", &installer.name, name]);
    for options in ["", "--user 1000 --tmpfs /run:uid=1000"] {
        let container = Recipe::of(name).config(configuration).options(options).start();
        container.wait_ready();
        let version = text(&container.ctl("version"));
        assert!(version.contains(VERSION), "{version}");
        // Killed, it is started again.
        let pid = container.program("web")["pid"].clone();
        assert!(container.ctl("signal KILL web").status.success());
        container.until("it is started again", || {
            let program = container.program("web");
            (program["state"] == "RUNNING" && program["pid"] != pid).then_some(())
        });
        let stopped = container.stop();
        assert_eq!(stopped.code, 0, "{options}\n{}", stopped.log);
    }
    docker_ok(["image", "rm", "--force", name, &image]);
}
