//! The names that Kubernetes allows.

/// Why a name is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// RFC 1035 label.
    #[error(
        "must be at most 63 lower-case letters, digits and '-', start with a letter and not end with '-'"
    )]
    Dns1035,
    /// RFC 1123 label.
    #[error(
        "must be at most 63 lower-case letters, digits and '-', and start and end with a letter or digit"
    )]
    Dns1123,
    /// RFC 1123 subdomain.
    #[error(
        "must be at most 253 lower-case letters, digits, '-' and '.', and each part start and end with a letter or digit"
    )]
    Subdomain,
}

fn is_label(name: &str) -> bool {
    let bytes = name.as_bytes();
    let is_inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=63).contains(&bytes.len())
        && bytes.iter().all(is_inner)
        && bytes.first() != Some(&b'-')
        && bytes.last() != Some(&b'-')
}

/// Checks an RFC 1035 label: names of Services, revisions and tags.
///
/// # Errors
/// [`NameError::Dns1035`].
pub fn dns1035_label(name: &str) -> Result<(), NameError> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if is_label(name) && starts_well {
        Ok(())
    } else {
        Err(NameError::Dns1035)
    }
}

/// Checks an RFC 1123 label: names of namespaces.
///
/// # Errors
/// [`NameError::Dns1123`].
pub fn dns1123_label(name: &str) -> Result<(), NameError> {
    if is_label(name) {
        Ok(())
    } else {
        Err(NameError::Dns1123)
    }
}

/// Checks an RFC 1123 subdomain: names of most objects.
///
/// # Errors
/// [`NameError::Subdomain`].
pub fn dns1123_subdomain(name: &str) -> Result<(), NameError> {
    let is_valid = name.len() <= 253 && name.split('.').all(is_part);
    if is_valid {
        Ok(())
    } else {
        Err(NameError::Subdomain)
    }
}

/// Parts of a subdomain may be longer than a label.
fn is_part(part: &str) -> bool {
    let bytes = part.as_bytes();
    let is_edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let is_inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    bytes.iter().all(is_inner) && is_edge(bytes.first()) && is_edge(bytes.last())
}
