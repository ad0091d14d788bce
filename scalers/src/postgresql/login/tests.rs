use super::*;

fn login(text: &str) -> Result<Login, Wrong> {
    Login::new(
        connection_string::parse(text).unwrap(),
        TlsSettings::default(),
    )
}

#[test]
fn a_connection_string_says_where_and_who() {
    let login = login("postgresql://bob:secret@db/jobs").unwrap();
    assert_eq!(login.shown(), "db:5432");
    assert_eq!(
        (login.user.as_str(), login.database.as_str()),
        ("bob", "jobs")
    );
    assert_eq!(login.password.unwrap().expose(), "secret");
    assert_eq!(login.encryption, Encryption::Prefer);
    assert_eq!(login.role, Role::Any);
    assert_eq!(login.settings, None);
}

#[test]
fn the_database_defaults_to_the_user() {
    assert_eq!(login("host=db user=bob").unwrap().database, "bob");
}

#[test]
fn several_servers_have_ports_of_their_own_or_one_for_all() {
    assert_eq!(
        login("host=a,b port=1,2 user=bob").unwrap().shown(),
        "a:1,b:2"
    );
    assert_eq!(
        login("host=a,b port=7 user=bob").unwrap().shown(),
        "a:7,b:7"
    );
    assert_eq!(login("host=a,b user=bob").unwrap().shown(), "a:5432,b:5432");
    assert_eq!(
        login("host=a,b,c port=1,2 user=bob"),
        Err(Wrong::Value("port"))
    );
    let by_address = login("hostaddr=10.0.0.1 host=db user=bob").unwrap();
    assert_eq!(by_address.servers[0].host, "db");
    assert_eq!(by_address.servers[0].address.as_deref(), Some("10.0.0.1"));
}

#[test]
fn sslmode_says_what_is_verified() {
    for (mode, encryption, is_unverified) in [
        ("disable", Encryption::Disable, false),
        ("allow", Encryption::Prefer, true),
        ("prefer", Encryption::Prefer, true),
        ("require", Encryption::Require, true),
        ("verify-ca", Encryption::VerifyCa, false),
        ("verify-full", Encryption::VerifyFull, false),
    ] {
        let login = login(&format!("host=db user=bob sslmode={mode}")).unwrap();
        assert_eq!(login.encryption, encryption, "{mode}");
        assert_eq!(login.tls.is_unverified, is_unverified, "{mode}");
    }
    let options = connection_string::parse("host=db user=bob sslmode=require").unwrap();
    let tls = TlsSettings {
        ca: Some(Secret::new("a CA")),
        ..TlsSettings::default()
    };
    let login = Login::new(options, tls).unwrap();
    assert_eq!(login.encryption, Encryption::VerifyCa);
    assert!(!login.tls.is_unverified);
}

#[test]
fn files_of_this_machine_are_not_read() {
    for (option, instead) in [
        (
            "sslrootcert=/etc/ssl/ca.pem",
            "give ca in the authentication",
        ),
        (
            "sslcert=/etc/ssl/own.pem",
            "give cert and key in the authentication",
        ),
        (
            "sslkey=/etc/ssl/own.key",
            "give cert and key in the authentication",
        ),
        ("passfile=/root/.pgpass", "give password"),
        ("service=jobs", "give host, port and dbname"),
        ("channel_binding=require", "leave it out"),
        ("sslnegotiation=direct", "leave it out"),
    ] {
        let error = login(&format!("host=db user=bob {option}")).unwrap_err();
        assert!(error.to_string().ends_with(instead), "{error}");
        assert!(!error.to_string().contains("/etc"), "{error}");
    }
    assert!(login("host=db user=bob sslrootcert=system sslmode=verify-full").is_ok());
}

#[test]
fn other_options_are_settings_of_the_session() {
    let text = "host=db user=bob search_path='a, b' connect_timeout=3 pool_max_conns=9 options='-c geqo=off'";
    assert_eq!(
        login(text).unwrap().settings.as_deref(),
        Some("-c geqo=off -c search_path=a,\\ b")
    );
    assert!(login("host=db user=bob a;b=c").is_err());
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    assert_eq!(login("user=bob"), Err(Wrong::Missing("host")));
    assert_eq!(login("host=db"), Err(Wrong::Missing("user")));
    assert_eq!(login("host=db user=bob port=0"), Err(Wrong::Value("port")));
    assert_eq!(
        login("host=db user=bob port=99999"),
        Err(Wrong::Value("port"))
    );
    assert_eq!(
        login("host=db user=bob sslmode=on"),
        Err(Wrong::Value("sslmode"))
    );
    let role = login("host=db user=bob target_session_attrs=best");
    assert_eq!(role, Err(Wrong::Value("target_session_attrs")));
}

#[test]
fn neither_logins_nor_messages_show_the_password() {
    let login = login("postgresql://bob:canary@db/jobs").unwrap();
    assert!(!format!("{login:?}").contains("canary"));
}
