//! INTERIM until the health crate lands.
use crate::cycle::Cycle; use crate::process::Process; use crate::watcher::Watcher; use std::sync::Arc; use pool::Server;
#[derive(Clone, Default)] pub(crate) struct Checks;
impl Checks { pub fn enable_checks(&self,_:&Arc<Server>,_:bool)->bool{false} pub fn enable_agent(&self,_:&Arc<Server>,_:bool)->bool{false}
 pub fn start(_:&Arc<Process>,_:&Arc<Cycle>,_:&Arc<Watcher>)->Checks{Checks} pub fn replace(&self,_:&Arc<Cycle>){} }
