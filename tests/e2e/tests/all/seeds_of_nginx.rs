//! The nginx files of the write-ups, word for word, and one of our own in front of three instances.

use e2e::namespace::{Neighbour, inside};
use e2e::{Balancer, Client, Load, Port, Program, Server};
use std::path::Path;

/// The web server of seed 004, in the file that includes it.
const WEB_SERVER: &str = "server {
    listen 80;
    server_name _;

    root /var/www/html;
    index index.html;

    location / {
        try_files $uri $uri/ =404;
    }

    location /health {
        access_log off;
        return 200 \"healthy\\n\";
        add_header Content-Type text/plain;
    }
}
";

/// The reverse proxy of seed 002.
const REVERSE_PROXY: &str = "server {
    location / {
        proxy_pass http://localhost:3000;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection 'upgrade';
        proxy_set_header Host $host;
        proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_cache_bypass $http_upgrade;

        proxy_connect_timeout 60s;
        proxy_send_timeout 60s;
        proxy_read_timeout 60s;
    }
}
";

/// Puts a site where a distribution has it, and gives the file that includes it.
fn site(folder: &Path, text: &str) -> String {
    let sites = folder.join("sites-enabled");
    std::fs::create_dir(&sites).unwrap();
    std::fs::write(sites.join("app"), text).unwrap();
    format!(
        "daemon off; pid {0}/pid; error_log {0}/error.log;\nevents {{ worker_connections 768; }}\n\
         http {{ access_log off; include {0}/sites-enabled/*; }}\n",
        folder.display()
    )
}

#[test]
fn seed_004_serves_pages_and_its_health() {
    inside("seeds_of_nginx::seed_004_serves_pages_and_its_health", || {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("html");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("index.html"), "<h1>web1</h1>").unwrap();
        let text = WEB_SERVER.replace("/var/www/html", &root.display().to_string());
        let config = site(folder.path(), &text);
        let program = Program::subject().called_nginx(folder.path());
        let _balancer =
            Balancer::with(&config).file_name("nginx.conf").program(&program).ports([80_u16]).start();
        let mut visitor = Client::to("127.0.0.1:80".parse().unwrap());
        assert_eq!(visitor.get("/").unwrap().text(), "<h1>web1</h1>");
        let health = visitor.get("/health").unwrap();
        assert_eq!((health.status, health.text()), (200, "healthy\n".to_owned()));
        assert_eq!(visitor.get("/nothing").unwrap().status, 404);
        assert_ne!(visitor.get("/../error.log").unwrap().status, 200);
    });
}

#[test]
fn seed_002_tells_its_server_who_asks() {
    inside("seeds_of_nginx::seed_002_tells_its_server_who_asks", || {
        let _neighbour = Neighbour::with_addresses(&["10.0.2.11"]);
        let mut server = Server::start_on("web1", "127.0.0.1:3000".parse().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let config = site(folder.path(), REVERSE_PROXY);
        let program = Program::subject().called_nginx(folder.path());
        let _balancer =
            Balancer::with(&config).file_name("nginx.conf").program(&program).ports([80_u16]).start();
        let mut visitor = Client::to("127.0.0.1:80".parse().unwrap());
        assert_eq!(visitor.get("/whoami").unwrap().status, 200);
        server.kill();
        assert_eq!(visitor.get("/whoami").unwrap().status, 502);
        server.restart();
        e2e::eventually("the server is asked again", || {
            visitor.get("/whoami").is_ok_and(|answer| answer.status == 200)
        });
    });
}

/// A cluster of three behind one upstream, as seed 000 has it: one dies and comes back.
#[test]
fn killing_one_of_three_behind_an_upstream_loses_no_get() {
    let folder = tempfile::tempdir().unwrap();
    let mut servers = Server::start_many(3);
    let (port, status) = (Port::free(), Port::free());
    let members: String = servers.iter().map(|server| format!("server {};", server.address)).collect();
    let config = format!(
        "daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}
         http {{
             access_log off;
             upstream backend_cluster {{ {members} keepalive 32; }}
             server {{
                 listen {port};
                 location / {{
                     proxy_pass http://backend_cluster;
                     proxy_next_upstream error timeout http_502 http_503;
                 }}
             }}
             server {{ listen {status}; location /nginx_status {{ stub_status; allow 127.0.0.1; deny all; }} }}
         }}",
        folder = folder.path().display(),
        port = port.address(),
        status = status.address(),
    );
    let program = Program::subject().called_nginx(folder.path());
    let _balancer =
        Balancer::with(&config).file_name("nginx.conf").program(&program).ports([&port, &status]).start();
    let load = Load::get(port.address(), "/whoami").start();
    load.wait_for(2_000);
    servers[0].kill();
    load.wait_for(2_000);
    servers[0].restart();
    load.wait_for(2_000);
    let page = Client::to(status.address()).get("/nginx_status").unwrap().text();
    assert!(page.starts_with("Active connections: "), "{page}");
    let report = load.stop();
    assert_eq!(report.failed(), 0, "{:?}", report.outcomes());
}
