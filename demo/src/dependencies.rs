//! PostgreSQL and Redis: what this instance leans on, and /health that tells about them.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::application::Shared;

/// A dependency that has not answered by then is down.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// PostgreSQL, asked over a new connection each time, so that its state is always the state of now.
pub struct Database {
    address: String,
}

impl Database {
    /// `address` as in postgres://user@host:port/database.
    pub fn new(address: String) -> Self {
        Self { address }
    }

    async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.address, NoTls).await?;
        // Ends by itself when the client is dropped or the server goes.
        tokio::spawn(connection);
        Ok(client)
    }

    async fn is_up(&self) -> bool {
        let question = async { self.connect().await?.simple_query("select 1").await };
        matches!(timeout(ANSWER_LIMIT, question).await, Ok(Ok(_)))
    }

    async fn users(&self) -> Result<Vec<Value>, tokio_postgres::Error> {
        // Text, so that the id may be of any type.
        let rows = self.connect().await?.query("select id::text, name from users order by 1", &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(json!({ "id": row.try_get::<_, String>(0)?, "name": row.try_get::<_, String>(1)? }))
            })
            .collect()
    }
}

/// Redis, asked by PING over a new connection.
pub struct Redis {
    address: String,
}

impl Redis {
    /// `address` as HOST:PORT.
    pub fn new(address: String) -> Self {
        Self { address }
    }

    async fn is_up(&self) -> bool {
        matches!(timeout(ANSWER_LIMIT, self.ping()).await, Ok(Ok(true)))
    }

    async fn ping(&self) -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(&self.address).await?;
        connection.write_all(b"PING\r\n").await?;
        let mut answer = [0; 7];
        connection.read_exact(&mut answer).await?;
        Ok(answer == *b"+PONG\r\n")
    }
}

/// GET /health: 200 if every configured dependency answers and no fault was asked for, else 503.
pub async fn health(State(application): State<Shared>) -> Response {
    let (database, redis) =
        tokio::join!(async { Some(application.database.as_ref()?.is_up().await) }, async {
            Some(application.redis.as_ref()?.is_up().await)
        },);
    let healthy = database != Some(false) && redis != Some(false) && !application.fault.spoils_health();
    let (code, status) =
        if healthy { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "down") };
    let body =
        json!({ "status": status, "instance": application.name, "database": database, "redis": redis });
    (code, Json(body)).into_response()
}

/// GET /api/v1/users: the table `users` of PostgreSQL.
pub async fn users(State(application): State<Shared>) -> Response {
    let Some(database) = &application.database else {
        return problem(StatusCode::NOT_FOUND, "this instance was started without --database");
    };
    match timeout(ANSWER_LIMIT, database.users()).await {
        Ok(Ok(users)) => Json(json!({ "instance": application.name, "users": users })).into_response(),
        Ok(Err(error)) => problem(StatusCode::SERVICE_UNAVAILABLE, &format!("read users: {error}")),
        Err(_) => problem(StatusCode::SERVICE_UNAVAILABLE, "read users: no answer from the database"),
    }
}

fn problem(code: StatusCode, why: &str) -> Response {
    (code, Json(json!({ "error": why }))).into_response()
}
