//! The keys are OpenSSL's, of nobody, all sealed with the same password.

use pkcs5::pbes2::{self, ScryptParams};

use super::super::TlsSettings;
use super::*;
use crate::parameters::Parameters;

const PASSWORD: &str = "opensesame";

/// What is in each of them.
const CLEAR: &str = "\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9G5iRVI7lgNnwBzU
aZdRMWyEp/W15r5HVt5OA+xaF4ChRANCAAS8p+pOlGXETnm2X6m6usm3RRNRyyOM
T56/5n4qa93Pnb8Vfn9+3GUdn+pARV4oLQgtiAL7xYlDJsP2NTGX4FOQ
-----END PRIVATE KEY-----
";

/// `openssl pkcs8 -topk8`
const AES: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgJw2Fqt6GAcwICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEDyVG4O3jY/FazfAL+oQD3YEgZCT
Ngpmp5DPDL+MMjvwnLM0acfRxvu9eHMRYWy44U6GOvi1lqqkd8vfHyc12ZQ1Slo7
Hl8MlwKo2k6hvj/Z1mkUyaneVz6PVK+CT4TfnNUlFXfvkoM+sG340AAPjsQ9u6RF
HUkdoXsScfoIaCXjdMr9CfhLKOhv5yVYEyLW6obHRnxcYPlFpXGPbwTCDvFnkE0=
-----END ENCRYPTED PRIVATE KEY-----
";

/// `-scrypt -scrypt_N 1024`
const SCRYPT: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAjt/aKTLt/T2QICBAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBCOTcAL6yFScU210GwMj7VUBIGQm2Kn9PG8fnCg
77VI3un6V7vPATFASM11JNJDcsJSRvo2mjDI/0NAE5n7BY2pGrhXNa5QzgPbmrgk
O9k5gJDizTouoJC6O/PHI6rb5C86gBs4/RbZAPQOjnOVJqOuSq9nL3O7MZ7DuZfb
H3Bs1vzIxlhEAFAcQlwNp/2oUUmpF6BX87lAIlJmn5gKTddXp8Bo
-----END ENCRYPTED PRIVATE KEY-----
";

/// `-v2 des3 -v2prf hmacWithSHA1, as before 1.1`
const TRIPLE_DES: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHVMEAGCSqGSIb3DQEFDTAzMBsGCSqGSIb3DQEFDDAOBAiJk6IRs+2IGAICCAAw
FAYIKoZIhvcNAwcECGNPgmuhzIN4BIGQT5aTQKGi7LzBesP8m8OACN2IGCicrqds
DXp/esVPP8iqKvs7F12wvv3EmV2IOWgiq0bPQFOba5KG0SjHPdiBT5nbUqFRntcp
33rz1Jo31ZeeLD+cI9wDy3fVHLctiWsBeiLzEWNIYQ/XEHs4L443rCm0R4KWbAye
XjKZ8hXPxswbApjDULEPn6Bf9HIV46cp
-----END ENCRYPTED PRIVATE KEY-----
";

/// `-v1 PBE-SHA1-3DES`
const PBES1: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGxMBwGCiqGSIb3DQEMAQMwDgQI7eNbnd93nLoCAggABIGQ/17WAjA7nObzjydG
6+qmx93aJ2To0YnsDS3tae5K3NA7dthcmR13opQPaSUNDkXOqAy5G5E8+kDKCy3D
fMour85sF860W2IuRvufAJlRJxhotTAFDmmgN2ToFY7txx7zCE91vDQrrcCtQwb9
+QkBHEJ6LogjHcEHiuABhWG96Srvwe9OiZs89BG8ZVEKcrFF
-----END ENCRYPTED PRIVATE KEY-----
";

/// `-iter 5000000`
const COSTLY: &str = "\
-----BEGIN ENCRYPTED PRIVATE KEY-----
MIHtMFgGCSqGSIb3DQEFDTBLMCoGCSqGSIb3DQEFDDAdBAi5Pg4N+3HIugIDTEtA
MAwGCCqGSIb3DQIJBQAwHQYJYIZIAWUDBAEqBBDAIoUMAIt1nytfP39n700HBIGQ
3gvixJg+GoYjeDBNuOXYbHsTtuzpGTKNAMR2SQHM/1AGVOWKGmly1M9ip8shwuLL
lwsKv75ptyEdF2is4r0+eMtaV0lLZfwQ8lyS+HySQcmwerzUr8YLqCWbGgdlRMGJ
unmHJ1QA5e/3B2f5N9/ui01/CCbhhzLJHMEUhwAec+v44qLSJdUog5Cwqz0ldCQ6
-----END ENCRYPTED PRIVATE KEY-----
";

/// `openssl ec -aes128`
const OLD: &str = "\
-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-128-CBC,F05A32B386297F4F56CAD96959E6304F

OGjMuUtpNYlgfXA7EF0b0onwd+3105DhoV0OUFV+XMMis3HbyvVCJFQeNr9n4Mpx
xMfGygyDOC/Qi40+B4EIyUcBH8pT5yQ9iYhx9gxYIW6gpX4dnkno1g+R7hJs/Vev
NGj/aAd7FwS2LDfeVbleCMgx0O/a3M5WiR6ljEgUe/Y=
-----END EC PRIVATE KEY-----
";

fn opened(pem: &str, password: Option<&str>) -> Result<String, Sealed> {
    let password = password.map(Secret::new);
    let opened = open(&Secret::new(pem), password.as_ref())?;
    Ok(opened.expose().split_whitespace().collect())
}

#[test]
fn keys_as_openssl_seals_them_are_opened() {
    let clear: String = CLEAR.split_whitespace().collect();
    for sealed in [AES, SCRYPT, TRIPLE_DES] {
        assert!(is_sealed(&Secret::new(sealed)));
        assert_eq!(opened(sealed, Some(PASSWORD)), Ok(clear.clone()));
    }
    assert!(!is_sealed(&Secret::new(CLEAR)));
}

#[test]
fn what_keeps_a_key_closed_is_named() {
    assert!(is_sealed(&Secret::new(OLD)));
    for (sealed, password, reason) in [
        (AES, None, Sealed::NoPassword),
        (AES, Some("open sesame"), Sealed::WrongPassword),
        (SCRYPT, Some("open sesame"), Sealed::WrongPassword),
        (COSTLY, Some(PASSWORD), Sealed::Costly),
        (PBES1, Some(PASSWORD), Sealed::Unsupported),
        (OLD, Some(PASSWORD), Sealed::OldForm),
        (
            &AES.replace("kE0=", "k\u{e9}0="),
            Some(PASSWORD),
            Sealed::Garbled,
        ),
        (
            &AES.replace("MIHs", "MIHt"),
            Some(PASSWORD),
            Sealed::Garbled,
        ),
        (&AES.replace(END, ""), Some(PASSWORD), Sealed::Garbled),
    ] {
        assert_eq!(opened(sealed, password), Err(reason), "{sealed}");
        assert!(!reason.to_string().contains("sesame"));
    }
}

#[test]
fn nobody_can_ask_for_more_work_than_is_done_for_one() {
    // N = 1024 of SCRYPT, as DER has it, to be replaced by others of as many bytes.
    let body: String = SCRYPT.lines().filter(|it| !it.starts_with('-')).collect();
    let info = BASE64.decode(body).unwrap();
    let at = info.windows(4).position(|it| it == [2, 2, 4, 0]).unwrap();
    for (cost, reason) in [([0, 0], Sealed::Garbled), ([4, 1], Sealed::Garbled)] {
        let mut info = info.clone();
        info[at + 2..at + 4].copy_from_slice(&cost);
        let body = BASE64.encode(info);
        let sealed = format!("{BEGIN}\n{body}\n{END}\n");
        assert_eq!(opened(&sealed, Some(PASSWORD)), Err(reason), "{cost:?}");
    }
    let mut params = ScryptParams {
        salt: b"12345678",
        cost_parameter: 1 << 14,
        block_size: 8,
        parallelization: 1,
        key_length: None,
    };
    let checked = |params: ScryptParams<'_>| {
        let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv: &[0; 16] };
        let kdf = params.into();
        check(&pbes2::Parameters { kdf, encryption }.into())
    };
    assert_eq!(checked(params), Ok(()), "OpenSSL's own");
    params.cost_parameter = 0;
    assert_eq!(checked(params), Err(Sealed::Garbled));
    params.cost_parameter = 1 << 14;
    params.parallelization = u16::MAX;
    assert_eq!(checked(params), Err(Sealed::Costly));
    params.cost_parameter = 1 << 63;
    assert_eq!(checked(params), Err(Sealed::Costly));
}

#[test]
fn an_opened_key_is_shown_with_its_certificate() {
    let pair = rcgen::KeyPair::from_pem(CLEAR).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&pair).unwrap().pem();
    let read = |auth: &[(&str, &str)]| {
        let given = [&[("cert", &*certificate), ("key", AES)][..], auth].concat();
        let spec = crate::testkit::spec("kafka", [], &given);
        let mut parameters = Parameters::new(&spec);
        let settings = TlsSettings::read(&mut parameters);
        let names: Vec<_> = { parameters.finish().into_iter() }
            .filter_map(|it| it.parameter)
            .collect();
        (settings, names)
    };
    let (settings, problems) = read(&[("keyPassword", PASSWORD)]);
    assert_eq!(problems, Vec::<String>::new());
    let config = settings.client_config().unwrap();
    assert!(config.client_auth_cert_resolver.has_certs());
    // What else is wrong is said too.
    let (_, problems) = read(&[("ca", "none")]);
    assert_eq!(problems, ["key", "ca"]);
}
