//! Certificates made with openssl: an authority, and what it signs and revokes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// The configuration of `openssl ca`.
const CONFIG: &str = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\n\
                      default_md = sha256\npolicy = any\nemail_in_dn = no\nunique_subject = no\ncopy_extensions = copy\n\
                      default_crl_days = 30\ncrlnumber = crlnumber\nx509_extensions = leaf\n[any]\ncommonName = supplied\n\
                      [req]\ndistinguished_name = name\n[name]\n[leaf]\nbasicConstraints = CA:FALSE\n";

/// An authority with its directory.
pub struct Authority {
    directory: TempDir,
}

impl Authority {
    /// A new one with its `ca.crt`; `None`, with a notice, if openssl is missing.
    pub fn new() -> Option<Authority> {
        if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
            super::skip("needs openssl");
            return None;
        }
        let authority = Authority { directory: tempfile::tempdir().expect("a temporary directory") };
        for (name, text) in [("ca.cnf", CONFIG), ("index", ""), ("serial", "1000\n"), ("crlnumber", "1000\n")] {
            fs::write(authority.path(name), text).expect("it is ours");
        }
        authority.run(
            "req -x509 -config ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=authority \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -keyout ca.key -out ca.crt",
        );
        Some(authority)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A certificate `NAME.crt` with `NAME.key` for these alternative names, or none, valid for so many days from now, which
    /// may be over.
    pub fn sign(&self, name: &str, names: &str, days: i64) {
        self.sign_key(name, names, days, "ec -pkeyopt ec_paramgen_curve:prime256v1");
    }

    /// The same with a key of this kind.
    pub fn sign_key(&self, name: &str, names: &str, days: i64, kind: &str) {
        let names = if names.is_empty() { String::new() } else { format!(" -addext subjectAltName={names}") };
        self.run(&format!(
            "req -new -config ca.cnf -newkey {kind} -nodes -subj /CN={name}{names} -keyout {name}.key -out {name}.csr"
        ));
        let at = |days: i64| {
            let output = Command::new("date").args(["-u", "-d", &format!("{days} days"), "+%Y%m%d%H%M%SZ"]).output();
            String::from_utf8(output.expect("date is there").stdout).expect("it is text").trim().to_owned()
        };
        let (begin, end) = if days > 1000 { (at(days - 1000), at(days)) } else { (at(-400), at(days)) };
        self.run(&format!(
            "ca -batch -config ca.cnf -notext -cert ca.crt -keyfile ca.key -startdate {begin} -enddate {end} -in {name}.csr \
             -out {name}.crt"
        ));
    }

    /// Revokes a certificate, and makes `crl.pem`.
    pub fn revoke(&self, name: &str) {
        self.run(&format!("ca -config ca.cnf -cert ca.crt -keyfile ca.key -revoke {name}.crt"));
        self.list_revoked();
    }

    /// Makes `crl.pem`.
    pub fn list_revoked(&self) {
        self.run("ca -config ca.cnf -cert ca.crt -keyfile ca.key -gencrl -out crl.pem");
    }

    /// The SHA-256 of a certificate, as openssl shows it.
    pub fn fingerprint(&self, name: &str) -> String {
        let text = self.run(&format!("x509 -noout -fingerprint -sha256 -in {name}.crt"));
        text.trim().rsplit('=').next().expect("a value").to_owned()
    }

    /// Runs openssl with these words in the directory.
    pub fn run(&self, line: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(self.directory.path()).stdin(Stdio::null());
        let output = command.output().expect("openssl runs");
        assert!(output.status.success(), "openssl {line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
