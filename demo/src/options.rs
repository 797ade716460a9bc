//! The command line of `demo`, read once in `main`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// Sample web application: one instance behind a balancer.
#[derive(Parser, Debug, Clone)]
#[command(name = "demo", version)]
pub struct Options {
    /// Address to listen on, such as 127.0.0.1:8001
    #[arg(long)]
    pub listen: SocketAddr,
    /// Name of this instance, shown in answers
    #[arg(long)]
    pub name: String,
    /// PostgreSQL to read users from, such as postgres://app@127.0.0.1:5432/app
    #[arg(long)]
    pub database: Option<String>,
    /// Redis whose state is part of /health, as HOST:PORT
    #[arg(long)]
    pub redis: Option<String>,
    /// File of `email:password` lines: who may log in (nobody without it)
    #[arg(long)]
    pub users: Option<PathBuf>,
    /// Secret that signs tokens; instances that share it accept each other's tokens (random without it)
    #[arg(long)]
    pub jwt_secret: Option<String>,
    /// File to which the id of each executed POST /work is appended; it outlives a killed instance
    #[arg(long)]
    pub journal: Option<PathBuf>,
    /// Accept POST /fault, by which tests make this instance hang, slow down or fail
    #[arg(long)]
    pub allow_faults: bool,
}
