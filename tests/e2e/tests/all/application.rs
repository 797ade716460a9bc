//! The sample application behind the balancer, as the write-ups use it.

use e2e::databases::{Postgres, Redis};
use e2e::{Server, cases};
use serde_json::{Value, json};

use crate::farm::{Farm, addresses};

const JSON: (&str, &str) = ("Content-Type", "application/json");

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn a_payment_needs_a_login_and_any_instance_will_do() {
    let users = cases::path("../../../demo/users.txt");
    let users = format!("--users={}", users.display());
    let servers: Vec<_> = ["gateway-1", "gateway-2"]
        .map(|name| Server::start_with(name, &[&users, "--jwt-secret=shared"]))
        .into();
    let farm = Farm::start("balance roundrobin", &addresses(&servers), "");
    let mut client = farm.client();

    let wrong = json!({ "email": "john@example.com", "password": "guess" }).to_string();
    assert_eq!(client.post("/api/v1/auth/login", &[JSON], wrong.as_bytes()).unwrap().status, 401);
    let right = json!({ "email": "john@example.com", "password": "password123" }).to_string();
    let login = client.post("/api/v1/auth/login", &[JSON], right.as_bytes()).unwrap();
    let token = format!("Bearer {}", parsed(&login.body)["token"].as_str().unwrap());

    let payment = br#"{"amount":100.50,"currency":"USD"}"#;
    assert_eq!(client.post("/api/v1/payments", &[JSON], payment).unwrap().status, 401);
    let mut instances = Vec::new();
    for _ in 0..2 {
        let paid = client.post("/api/v1/payments", &[JSON, ("Authorization", &token)], payment).unwrap();
        assert_eq!(paid.status, 201, "{}", paid.text());
        let paid = parsed(&paid.body);
        assert_eq!((&paid["amount"], &paid["currency"]), (&json!(100.5), &json!("USD")));
        instances.push(paid["instance"].as_str().unwrap().to_owned());
    }
    instances.sort();
    assert_eq!(instances, ["gateway-1", "gateway-2"]);
}

#[test]
fn health_tells_about_database_and_redis_and_users_come_from_postgresql() {
    let (postgres, mut redis) = (Postgres::start(), Redis::start());
    postgres.execute("create table users (id int primary key, name text)");
    postgres.execute("insert into users values (1, 'John'), (2, 'Nguyễn')");
    let database = format!("--database=postgres://postgres@{}/postgres", postgres.address());
    let server = Server::start_with("web1", &[&database, &format!("--redis={}", redis.address())]);
    let farm = Farm::start("", &[server.address], "");
    let mut client = farm.client();

    let users = parsed(&client.get("/api/v1/users").unwrap().body);
    assert_eq!(users["users"], json!([{ "id": "1", "name": "John" }, { "id": "2", "name": "Nguyễn" }]));
    let health = client.get("/health").unwrap();
    let expected = json!({ "status": "ok", "instance": "web1", "database": true, "redis": true });
    assert_eq!((health.status, parsed(&health.body)), (200, expected));
    redis.process.kill();
    let health = client.get("/health").unwrap();
    let expected = json!({ "status": "down", "instance": "web1", "database": true, "redis": false });
    assert_eq!((health.status, parsed(&health.body)), (503, expected));
}

#[test]
fn without_a_database_there_are_no_users_and_health_says_null() {
    let server = Server::start("web1");
    let farm = Farm::start("", &[server.address], "");
    let users = farm.client().get("/api/v1/users").unwrap();
    assert_eq!(users.status, 404);
    assert!(parsed(&users.body)["error"].is_string());
    assert_eq!(parsed(&farm.client().get("/health").unwrap().body)["database"], Value::Null);
}
