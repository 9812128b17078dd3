//! The decisions for each kind of client at each kind of listener.

use muster_api::Right;
use muster_spec::{HostPort, IdentitySpec, ListenSpec, Login, Password};

use super::*;

fn users() -> Users {
    Users { own: 1000, may_control: vec![1001], may_look: vec![1002], identities: vec![("batch".to_owned(), 1004)] }
}

fn login() -> Option<Login> {
    Some(Login { username: "u".to_owned(), password: "p".to_owned() })
}

fn tcp() -> ListenAddress {
    ListenAddress::Http(HostPort { host: "127.0.0.1".to_owned(), port: 9001 })
}

/// The rules of a control socket, and of a server of supervisord on TCP.
fn access(socket: Authentication, server: Option<Login>) -> Access {
    let listener = ListenSpec { authentication: Authentication::Supervisord(server), ..ListenSpec::at(tcp()) };
    let spec = ControlSpec { authentication: socket, listeners: vec![listener], ..ControlSpec::default() };
    Access::new(&spec, users(), "shop")
}

fn local(uid: u32) -> Peer {
    let listener = Arc::new(ListenAddress::Unix(ControlSpec::DEFAULT_SOCKET.into()));
    Peer { listener, uid: Some(uid), pid: None, address: None, security: Security::Clear }
}

fn remote() -> Peer {
    Peer {
        listener: Arc::new(tcp()),
        uid: None,
        pid: None,
        address: Some(IpAddr::from([127, 0, 0, 1])),
        security: Security::Clear,
    }
}

fn role(access: &Access, peer: &Peer, surface: Surface, header: &str) -> Result<Option<Role>, Refusal> {
    let header = (!header.is_empty()).then_some(header.as_bytes());
    access.admit(peer, surface, header).map(|client| client.role)
}

fn refused(is_wrong: bool) -> Result<Option<Role>, Refusal> {
    Err(Refusal { is_wrong, is_of_supervisord: true })
}

const RIGHT: &str = "Basic dTpw";
const WRONG: &str = "Basic dTpx";

#[test]
fn looking_and_controlling_are_two_things() {
    let access = access(Authentication::Identities, None);
    for (uid, may_look, may_control) in
        [(0, true, true), (1000, true, true), (1001, true, true), (1002, true, false), (1003, false, false)]
    {
        let client = access.admit(&local(uid), Surface::Native, None).unwrap();
        assert_eq!(client.check(Right::Read).is_ok(), may_look, "{uid} looks");
        assert_eq!(client.check(Right::Control).is_ok(), may_control, "{uid} controls");
        assert_eq!(client.check(Right::Admin).is_ok(), may_control, "{uid} shuts down");
    }
}

#[test]
fn a_server_without_a_password_lets_in_who_can_connect() {
    let access = access(Authentication::Supervisord(None), None);
    for (peer, native) in
        [(local(0), Role::Admin), (local(1001), Role::Admin), (local(1003), Role::Control), (remote(), Role::Control)]
    {
        assert_eq!(role(&access, &peer, Surface::Supervisord, ""), Ok(Some(Role::Admin)), "{peer:?}");
        assert_eq!(role(&access, &peer, Surface::Native, ""), Ok(Some(native)), "{peer:?}");
        assert_eq!(role(&access, &peer, Surface::Supervisord, WRONG), Ok(Some(Role::Admin)), "the header is ignored");
        assert!(!access.heeds_logins(&peer), "and never remembered as a right one: {peer:?}");
    }
}

#[test]
fn a_server_with_a_password_asks_everyone_for_it() {
    let access = access(Authentication::Supervisord(login()), login());
    for peer in [local(0), local(1003), remote()] {
        for header in ["", WRONG, "Basic dng6cA==", "Bearer p", "Basic"] {
            assert_eq!(
                role(&access, &peer, Surface::Supervisord, header),
                refused(!header.is_empty()),
                "{peer:?} {header}"
            );
        }
        assert_eq!(role(&access, &peer, Surface::Supervisord, RIGHT), Ok(Some(Role::Admin)));
        let both = [RIGHT.as_bytes(), RIGHT.as_bytes()];
        assert!(access.admit(&peer, Surface::Supervisord, both).is_err(), "which one counts?");
    }
    assert_eq!(role(&access, &local(0), Surface::Native, ""), Ok(Some(Role::Admin)), "musterctl goes on working");
    assert_eq!(role(&access, &local(0), Surface::Native, WRONG), refused(true), "a wrong login is reported");
    assert_eq!(role(&access, &local(1003), Surface::Native, ""), refused(false));
    assert_eq!(role(&access, &remote(), Surface::Native, ""), refused(false));
    assert_eq!(role(&access, &remote(), Surface::Native, RIGHT), Ok(Some(Role::Control)));
    let named = access.admit(&remote(), Surface::Supervisord, [RIGHT.as_bytes()]).unwrap();
    assert_eq!((named.principal.to_string(), named.rank), ("u".to_owned(), Rank::Controller));
}

#[test]
fn an_empty_name_asks_for_no_password() {
    let login = Login { username: String::new(), password: "p".to_owned() };
    let access = access(Authentication::Identities, Some(login));
    assert_eq!(role(&access, &remote(), Surface::Supervisord, ""), Ok(Some(Role::Admin)));
}

#[test]
fn a_reload_takes_rights_away() {
    let before = access(Authentication::Identities, login());
    let named = before.admit(&remote(), Surface::Supervisord, [RIGHT.as_bytes()]).unwrap();
    assert!(before.still_admits(&remote(), &named));
    let other = Some(Login { username: "v".to_owned(), password: "p".to_owned() });
    assert!(!access(Authentication::Identities, other).still_admits(&remote(), &named));
    let reader = before.admit(&local(1002), Surface::Native, None).unwrap();
    assert!(before.still_admits(&local(1002), &reader));
    let nobody = Access::new(&ControlSpec::default(), Users { may_look: vec![], ..users() }, "shop");
    assert!(!nobody.still_admits(&local(1002), &reader));
    assert!(!nobody.still_admits(&remote(), &named), "the listener is gone");
}

const TOKEN: &str = "0123456789abcdefghij";

/// A control socket and a listener on TCP with this cap, for three users.
fn with_users(cap: Role, anyone: Option<Role>) -> Access {
    let user = |name: &str, role, tokens: &[&str], password: Option<&str>| IdentitySpec {
        name: name.to_owned(),
        role,
        token_file: None,
        password_file: None,
        uid: None,
        tokens: tokens.iter().map(|&token| token.to_owned()).collect(),
        password: password.map(|line| Password::parse(line).unwrap()),
        cert: None,
        cert_sha256: None,
    };
    let identities = vec![
        user("deploy", Role::Control, &[TOKEN, "second-token-0123456789"], None),
        user("prom", Role::Metrics, &[], Some("p")),
        user("batch", Role::Control, &[], None),
    ];
    let listeners = vec![ListenSpec { role: cap, anyone, ..ListenSpec::at(tcp()) }];
    Access::new(&ControlSpec { identities, listeners, ..ControlSpec::default() }, users(), "shop")
}

#[test]
fn an_identity_has_its_role_up_to_that_of_the_listener() {
    let deploy = format!("Bearer {TOKEN}");
    // prom:p, and prom:q
    let (prom, wrong) = ("Basic cHJvbTpw", "Basic cHJvbTpx");
    for (cap, of_deploy, of_prom) in [
        (Role::Admin, Role::Control, Role::Metrics),
        (Role::Read, Role::Read, Role::Metrics),
        (Role::Health, Role::Health, Role::Health),
    ] {
        let access = with_users(cap, Some(Role::Health));
        assert_eq!(role(&access, &remote(), Surface::Native, &deploy), Ok(Some(of_deploy)), "{cap:?}");
        assert_eq!(role(&access, &remote(), Surface::Supervisord, &deploy), Ok(Some(of_deploy)), "{cap:?}");
        assert_eq!(role(&access, &remote(), Surface::Native, prom), Ok(Some(of_prom)), "{cap:?}");
        assert_eq!(role(&access, &remote(), Surface::Native, ""), Ok(Some(Role::Health)), "{cap:?}");
    }
    let access = with_users(Role::Admin, Some(Role::Health));
    assert_eq!(role(&access, &remote(), Surface::Native, "Bearer second-token-0123456789"), Ok(Some(Role::Control)));
    for header in [wrong, "Bearer p", "Bearer 0123456789abcdefghiJ", "Basic ZGVwbG95Og==", "Basic bm9ib2R5OnA=", "x"] {
        for peer in [remote(), local(0)] {
            let refusal = access.admit(&peer, Surface::Native, [header.as_bytes()]).unwrap_err();
            assert!(refusal.is_wrong && !refusal.is_of_supervisord, "{header}");
        }
    }
    let client = access.admit(&remote(), Surface::Native, None).unwrap();
    assert_eq!(client.check(Right::Read).unwrap_err().status, 401, "a login would help");
    let client = access.admit(&remote(), Surface::Native, [deploy.as_bytes()]).unwrap();
    let problem = client.check(Right::Admin).unwrap_err();
    assert_eq!(problem.status, 403);
    assert!(
        problem.detail.contains("deploy") && problem.detail.contains("admin") && problem.detail.contains("control")
    );
}

#[test]
fn a_user_id_can_be_that_of_an_identity() {
    let access = with_users(Role::Admin, None);
    assert_eq!(role(&access, &local(1004), Surface::Native, ""), Ok(Some(Role::Control)));
    assert_eq!(role(&access, &local(1003), Surface::Native, ""), Ok(None));
    assert_eq!(role(&access, &remote(), Surface::Native, ""), Ok(None));
}

#[test]
fn hosts_are_checked_on_tcp_and_without_a_password_of_supervisord() {
    let foreign = Provenance { method: "GET", path: "/v1/info", hosts: &[b"evil.example"], ..Provenance::default() };
    let refused = Err(Foreign::Host);
    assert_eq!(with_users(Role::Admin, None).check_browser(&remote(), &foreign), refused);
    assert_eq!(with_users(Role::Admin, None).check_browser(&local(0), &foreign), Ok(()));
    assert_eq!(access(Authentication::Identities, None).check_browser(&remote(), &foreign), refused);
    assert_eq!(access(Authentication::Identities, login()).check_browser(&remote(), &foreign), Ok(()));
}

#[test]
fn a_newcomer_on_tcp_is_unknown_until_it_has_logged_in_or_need_not() {
    let open = access(Authentication::Identities, None);
    assert!(open.newcomer(&remote()).may_log_in() && !open.newcomer(&local(7)).may_log_in());
    // A server of supervisord without a password needs no login.
    assert!(!open.admit(&remote(), Surface::Supervisord, None).unwrap().may_log_in());
}

#[test]
fn origins_are_allowed_by_their_exact_name_and_over_tcp_only() {
    let origins = vec!["https://ops.example.org".to_owned(), "null".to_owned()];
    let access = Access::new(&ControlSpec { allow_origins: origins, ..ControlSpec::default() }, users(), "shop");
    assert!(access.has_origins(&remote()) && !access.has_origins(&local(0)));
    assert!(access.allows_origin(b"https://ops.example.org") && access.allows_origin(b"https://OPS.example.org"));
    for origin in ["https://ops.example.org.", "https://ops.example.org:443", "http://ops.example.org", "null", "*", ""]
    {
        assert!(!access.allows_origin(origin.as_bytes()), "{origin}");
    }
    assert!(!access.allows_origin(b"\xff"));
}

#[test]
fn a_certificate_comes_before_a_login_and_only_names_that_somebody_vouches_for_count() {
    let mut spec = ControlSpec { listeners: vec![ListenSpec::at(tcp())], ..ControlSpec::default() };
    let user = |name: &str, cert: Option<&str>, cert_sha256: Option<&str>| IdentitySpec {
        name: name.to_owned(),
        role: Role::Control,
        token_file: None,
        password_file: None,
        uid: None,
        tokens: vec![TOKEN.to_owned()],
        password: None,
        cert: cert.map(str::to_owned),
        cert_sha256: cert_sha256.map(str::to_owned),
    };
    spec.identities = vec![
        user("deploy", None, None),
        user("robot", Some("spiffe://a/robot"), None),
        user("laptop", None, Some("abcd")),
    ];
    let access = Access::new(&spec, users(), "shop");
    let deploy = format!("Bearer {TOKEN}");
    for (sha256, names, headers, expected) in [
        ("00", &["x", "spiffe://a/robot"][..], &[][..], Some("robot")),
        ("00", &["spiffe://a/robot"], &[&*deploy], Some("robot")),
        ("00", &["spiffe://a/robot"], &["Bearer wrong"], Some("robot")),
        ("abcd", &[], &[], Some("laptop")),
        ("00", &[], &[&*deploy], Some("deploy")),
        ("00", &["spiffe://a/robot2"], &[], None),
    ] {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let certificate = Arc::new(Certificate { sha256: sha256.to_owned(), names });
        let peer = Peer { security: Security::Tls(Some(certificate)), ..remote() };
        let client = access.admit(&peer, Surface::Native, headers.iter().map(|it| it.as_bytes())).unwrap();
        let expected = expected.map_or(Principal::Anyone, |name| Principal::Identity(IdentityName::of(name)));
        assert_eq!(client.principal, expected, "{sha256} {headers:?}");
        let has_certificate = matches!(client.principal.to_string().as_str(), "robot" | "laptop");
        assert_eq!(access.heeds_logins(&peer), !has_certificate, "{sha256} {headers:?}");
        // A user that is removed is gone for connections that are open, too.
        let without = Access::new(&ControlSpec { identities: vec![], ..spec.clone() }, users(), "shop");
        assert!(expected == Principal::Anyone || !without.still_admits(&peer, &client));
    }
}

#[test]
fn a_hash_has_to_be_verified_and_counts_only_while_it_is_the_users() {
    // Made by `openssl passwd -5 -salt 'rounds=1000$xy' geheim`.
    let hash = "$5$rounds=1000$xy$heLMJXNxwUifvKnIuQxBuwk9LvDKhozn1jq4ddL4vIC";
    let with = |cap, line: &str| {
        let identity = IdentitySpec {
            name: "u".to_owned(),
            role: Role::Control,
            token_file: None,
            password_file: None,
            uid: None,
            tokens: vec![TOKEN.to_owned()],
            password: Some(Password::parse(line).unwrap()),
            cert: None,
            cert_sha256: None,
        };
        let listener = ListenSpec { role: cap, ..ListenSpec::at(tcp()) };
        let spec = ControlSpec { listeners: vec![listener], identities: vec![identity], ..ControlSpec::default() };
        Access::new(&spec, users(), "shop")
    };
    let access = with(Role::Read, hash);
    // u:geheim.
    let right = &b"Basic dTpnZWhlaW0="[..];
    let refusal = access.admit(&remote(), Surface::Native, [right]).unwrap_err();
    assert!(refusal.is_wrong, "until it is verified");
    let verified = access.to_verify(&remote(), right).and_then(|it| it.run()).unwrap();
    let client = access.admit_verified(&remote(), &verified).unwrap();
    assert_eq!((client.principal.to_string(), client.role), ("u".to_owned(), Some(Role::Read)));
    assert!(access.to_verify(&remote(), WRONG.as_bytes()).is_some_and(|it| it.run().is_none()));
    for header in ["Bearer geheim", "Digest x", "Basic dXA=", ""] {
        assert!(access.to_verify(&remote(), header.as_bytes()).is_none(), "{header}");
    }
    // The password was replaced while it was verified.
    assert!(with(Role::Read, "geheim").admit_verified(&remote(), &verified).is_none());
    assert!(with(Role::Read, &hash.replace("$xy$", "$xz$")).admit_verified(&remote(), &verified).is_none());
    // A server of supervisord has a login of its own.
    let server = self::access(Authentication::Identities, login());
    assert!(server.to_verify(&remote(), right).is_none() && server.admit_verified(&remote(), &verified).is_none());
}

#[test]
fn a_session_is_worth_what_its_login_is_worth_now() {
    let with = |role, tokens: &[&str], password: &str| {
        let identity = IdentitySpec {
            name: "u".to_owned(),
            role,
            token_file: None,
            password_file: None,
            uid: None,
            tokens: tokens.iter().map(|&token| token.to_owned()).collect(),
            password: Some(Password::parse(password).unwrap()),
            cert: Some("robot".to_owned()),
            cert_sha256: None,
        };
        let listener = ListenSpec { role: Role::Control, ..ListenSpec::at(tcp()) };
        let spec = ControlSpec { listeners: vec![listener], identities: vec![identity], ..ControlSpec::default() };
        Access::new(&spec, users(), "shop")
    };
    let hash = "$5$rounds=1000$xy$heLMJXNxwUifvKnIuQxBuwk9LvDKhozn1jq4ddL4vIC";
    let (first, hashed) = (with(Role::Admin, &[TOKEN], "p"), with(Role::Admin, &[TOKEN], hash));
    let right = &b"Basic dTpnZWhlaW0="[..];
    let verified = hashed.to_verify(&remote(), right).and_then(|it| it.run());
    let of_token = first.proof(&remote(), format!("Bearer {TOKEN}").as_bytes(), None).unwrap();
    let of_password = first.proof(&remote(), RIGHT.as_bytes(), None).unwrap();
    let of_hash = hashed.proof(&remote(), right, verified.as_ref()).unwrap();
    assert!(first.proof(&remote(), WRONG.as_bytes(), None).is_none() && hashed.proof(&remote(), right, None).is_none());
    let second = "second-token-0123456789";
    for (access, token, password, by_hash) in [
        (with(Role::Read, &[TOKEN], "p"), true, true, false),
        (with(Role::Read, &[second, TOKEN], "q"), true, false, false),
        (with(Role::Read, &[second], "p"), false, true, false),
        (with(Role::Read, &[second], hash), false, false, true),
        (with(Role::Read, &[second], &hash.replace("$xy$", "$xz$")), false, false, false),
        (self::access(Authentication::Identities, login()), false, false, false),
    ] {
        for (proof, expected) in [(&of_token, token), (&of_password, password), (&of_hash, by_hash)] {
            let client = access.admit_session(&remote(), proof);
            assert_eq!(client.map(|client| client.role), expected.then_some(Some(Role::Read)));
            assert_eq!(access.knows(proof), expected);
        }
    }
    assert_eq!(first.admit_session(&remote(), &of_token).unwrap().role, Some(Role::Control), "as the listener allows");
    // A certificate comes before a session.
    let certificate = Arc::new(Certificate { sha256: "00".to_owned(), names: vec!["robot".to_owned()] });
    let peer = Peer { security: Security::Tls(Some(certificate)), ..remote() };
    assert!(first.admit_session(&peer, &of_token).is_none());
    // A server of supervisord has its password, and the right to control for our page.
    let server = self::access(Authentication::Identities, login());
    let proof = server.proof(&remote(), RIGHT.as_bytes(), None).unwrap();
    assert_eq!(server.admit_session(&remote(), &proof).unwrap().role, Some(Role::Control));
    let other = Some(Login { username: "u".to_owned(), password: "q".to_owned() });
    for changed in [other, None] {
        let changed = self::access(Authentication::Identities, changed);
        assert!(changed.admit_session(&remote(), &proof).is_none() && !changed.knows(&proof));
    }
    assert!(first.admit_session(&remote(), &proof).is_none(), "another kind of login");
}
