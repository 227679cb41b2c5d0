//! Until when a credentials file holds: what the JWT in it says of itself. Whether it is genuine is the server's to say.

use std::path::Path;

use serde::Deserialize;

use crate::base64url;

/// What a JWT says that is looked at here.
#[derive(Deserialize)]
struct Claims {
    /// In seconds since 1970; 0 or nothing if it holds for ever.
    #[serde(default)]
    exp: i64,
}

/// When the user in that file ends, in seconds since 1970; nothing if it never does.
///
/// # Errors
/// Why that cannot be read, for people; nothing of the file is quoted.
pub fn credentials_until(path: &Path) -> Result<Option<i64>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let Claims { exp } = claims(&text).ok_or_else(|| "there is no user's JWT in it".to_owned())?;
    Ok(Some(exp).filter(|exp| *exp > 0))
}

fn claims(text: &str) -> Option<Claims> {
    let begins = |line: &&str| line.contains("BEGIN NATS USER JWT");
    let jwt = text.lines().skip_while(|line| !begins(line)).nth(1)?.trim();
    let claims = base64url::decode(jwt.split('.').nth(1)?)?;
    serde_json::from_slice(&claims).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_until_when_its_user_holds() {
        let file = |claims: &str| {
            let jwt = format!("{}.{}.signature", base64url::encode(b"{}"), base64url::encode(claims.as_bytes()));
            format!("-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\nmore\n")
        };
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("user.creds");
        for (text, expected) in [
            (file(r#"{"exp":1795824000,"sub":"U"}"#), Ok(Some(1_795_824_000))),
            (file(r#"{"sub":"U"}"#), Ok(None)),
            (file(r#"{"exp":0}"#), Ok(None)),
            (file("no JSON"), Err(())),
            ("-----BEGIN NATS USER JWT-----".to_owned(), Err(())),
            ("-----BEGIN NATS USER JWT-----\nonly-one-part\n".to_owned(), Err(())),
            (String::new(), Err(())),
        ] {
            std::fs::write(&path, &text).expect("written");
            assert_eq!(credentials_until(&path).map_err(drop), expected, "{text}");
        }
        assert!(credentials_until(&folder.path().join("none")).is_err());
    }
}
