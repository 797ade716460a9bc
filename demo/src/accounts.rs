//! Login and payments: `email` and `password` give a token, a token allows payments.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use crate::application::Shared;
use crate::token::Key;

/// How long a token is good for.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// Who may log in, and the key that signs their tokens.
pub struct Accounts {
    passwords: HashMap<String, String>,
    key: Key,
    payments: AtomicU64,
}

/// Body of POST /api/v1/auth/login.
#[derive(Deserialize)]
pub struct Login {
    email: String,
    password: String,
}

/// Body of POST /api/v1/payments.
#[derive(Deserialize)]
pub struct Payment {
    amount: serde_json::Number,
    currency: String,
}

impl Accounts {
    /// Reads the users, if a file is named; makes a random secret, if none is given.
    pub fn new(users: Option<&Path>, secret: Option<String>) -> Result<Self, String> {
        let secret = match secret {
            Some(text) => text.into_bytes(),
            None => random_secret()?,
        };
        Ok(Self {
            passwords: users.map(read_users).transpose()?.unwrap_or_default(),
            key: Key::new(secret),
            payments: AtomicU64::new(0),
        })
    }

    fn token_for(&self, login: &Login) -> Option<String> {
        let password = self.passwords.get(&login.email)?;
        if *password != login.password {
            return None;
        }
        self.key.sign(&login.email, TOKEN_LIFE)
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
        token.and_then(|token| self.key.check(token)).is_some()
    }
}

/// POST /api/v1/auth/login: 200 with a token, or 401.
pub async fn login(State(application): State<Shared>, Json(login): Json<Login>) -> Response {
    match application.accounts.token_for(&login) {
        Some(token) => Json(json!({ "token": token })).into_response(),
        None => refused("unknown user or wrong password"),
    }
}

/// POST /api/v1/payments: 201 for the bearer of a good token, or 401.
pub async fn pay(State(application): State<Shared>, headers: HeaderMap, body: Json<Payment>) -> Response {
    if !application.accounts.allows(&headers) {
        return refused("a valid bearer token is needed");
    }
    let number = application.accounts.payments.fetch_add(1, Ordering::Relaxed) + 1;
    let id = format!("{}-{number}", application.name);
    let answer = json!({
        "id": id, "amount": body.amount, "currency": body.currency, "instance": application.name,
    });
    (StatusCode::CREATED, Json(answer)).into_response()
}

fn refused(why: &str) -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({ "error": why }))).into_response()
}

fn read_users(path: &Path) -> Result<HashMap<String, String>, String> {
    let shown = path.display();
    let text = fs::read_to_string(path).map_err(|e| format!("read users {shown}: {e}"))?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| match line.split_once(':') {
            Some((email, password)) => Ok((email.to_owned(), password.to_owned())),
            None => Err(format!("{shown}:{}: expected email:password", number + 1)),
        })
        .collect()
}

fn random_secret() -> Result<Vec<u8>, String> {
    let mut secret = vec![0; 32];
    let source = "/dev/urandom";
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut secret))
        .map_err(|e| format!("read {source}: {e}"))?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn accounts(secret: &str) -> Accounts {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("users.txt");
        Accounts::new(Some(&sample), Some(secret.to_owned())).unwrap()
    }

    fn bearer(accounts: &Accounts) -> HeaderMap {
        let login = Login { email: "john@example.com".into(), password: "password123".into() };
        let value = format!("Bearer {}", accounts.token_for(&login).unwrap());
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn a_token_is_good_where_the_secret_is_the_same() {
        let token = bearer(&accounts("one"));
        assert!(accounts("one").allows(&token));
        assert!(!accounts("two").allows(&token));
        assert!(!accounts("one").allows(&HeaderMap::new()));
    }

    #[test]
    fn nobody_may_log_in_without_a_file_of_users() {
        let nobody = Accounts::new(None, None).unwrap();
        let login = Login { email: "john@example.com".into(), password: "password123".into() };
        assert_eq!(nobody.token_for(&login), None);
    }
}
