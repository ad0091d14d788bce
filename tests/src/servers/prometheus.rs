//! Prometheus, which scrapes itself every second.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Server, accepts, find};
use crate::broker::Unavailable;
use crate::{Raw, free_address};

/// What a server wants to see.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// A user's name, and the bcrypt hash of the password.
    pub user: Option<(String, String)>,
    /// PEM of the server's certificate and its key.
    pub certificate: Option<(String, String)>,
    /// PEM of the authority whose client certificates are asked for.
    pub client_ca: Option<String>,
}

/// A running Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    server: Server,
    /// Whether anybody may ask by plain HTTP.
    is_open: bool,
    prefix: String,
}

impl Prometheus {
    /// A server that anybody may ask, below a path such as `/prometheus`, or the empty one.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn start(prefix: &str) -> Result<Self, Unavailable> {
        Self::run(prefix, None, None)
    }

    /// A server that anybody may ask, and that scrapes `target` too, every second.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn scraping(target: SocketAddr) -> Result<Self, Unavailable> {
        Self::scraping_every(target, Duration::from_secs(1))
    }

    /// The same, at another interval.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn scraping_every(target: SocketAddr, every: Duration) -> Result<Self, Unavailable> {
        Self::run("", None, Some((target, every)))
    }

    /// A server that asks who comes.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    pub fn guarded(guard: &Guard) -> Result<Self, Unavailable> {
        Self::run("", Some(guard), None)
    }

    fn run(
        prefix: &str,
        guard: Option<&Guard>,
        target: Option<(SocketAddr, Duration)>,
    ) -> Result<Self, Unavailable> {
        let program = find("prometheus", &["/usr/bin"])?;
        let (address, folder) = (free_address(), Server::folder());
        let mut settings = format!(
            "global: {{ scrape_interval: 1s }}\n\
             scrape_configs:\n\
             - job_name: self\n\
             \x20 metrics_path: {prefix}/metrics\n\
             \x20 static_configs: [{{ targets: ['{address}'] }}]\n"
        );
        if let Some((target, every)) = target {
            let every = every.as_millis();
            settings += &format!(
                "- job_name: target\n\x20 scrape_interval: {every}ms\n\x20 scrape_timeout: {every}ms\n\
                 \x20 static_configs: [{{ targets: ['{target}'] }}]\n"
            );
        }
        fs::write(folder.join("prometheus.yml"), settings).expect("the folder is ours");
        let mut command = vec![
            program.display().to_string(),
            format!("--config.file={}", folder.join("prometheus.yml").display()),
            format!("--storage.tsdb.path={}", folder.join("data").display()),
            format!("--web.listen-address={address}"),
            format!("--web.external-url=http://{address}{prefix}/"),
        ];
        if let Some(guard) = guard {
            let file = write(guard, &folder);
            command.push(format!("--web.config.file={}", file.display()));
        }
        let is_open = guard.is_none();
        let ready = || is_ready(address, prefix, is_open);
        Ok(Self {
            server: Server::start(&folder, address, command, ready),
            is_open,
            prefix: prefix.to_owned(),
        })
    }

    /// Host and port.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What `serverAddress` is for a server that anybody may ask.
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address(), self.prefix)
    }

    /// Instant queries that it answered so far, by its own count.
    ///
    /// # Panics
    /// When it does not say.
    pub fn queries(&self) -> u64 {
        let target = format!("{}/metrics", self.prefix);
        let answer = Raw::connect(self.address())
            .get("prometheus", &target)
            .response();
        let text = answer.text();
        let count = |line: &str| {
            let is_meant = line.starts_with("prometheus_http_requests_total")
                && line.contains("/api/v1/query\"");
            let value = line.rsplit_once(' ').map(|(_, value)| value);
            is_meant.then(|| value.and_then(|it| it.parse::<u64>().ok()))?
        };
        text.lines().filter_map(count).sum()
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Runs it again.
    pub fn restart(&mut self) {
        let (address, prefix, is_open) = (self.address(), self.prefix.clone(), self.is_open);
        self.server.run(|| is_ready(address, &prefix, is_open));
    }

    /// It answers nobody any more.
    pub fn freeze(&mut self) {
        self.server.freeze();
    }

    /// It goes on.
    pub fn thaw(&mut self) {
        self.server.thaw();
    }
}

/// Who is guarded does not tell a stranger whether it is ready.
fn is_ready(address: SocketAddr, prefix: &str, is_open: bool) -> bool {
    let is_there = accepts(address);
    let answers = || {
        let target = format!("{prefix}/-/ready");
        let mut connection = Raw::try_connect(address).ok()?;
        connection.get("prometheus", &target).try_response().ok()
    };
    is_there && (!is_open || answers().is_some_and(|answer| answer.status == 200))
}

fn write(guard: &Guard, folder: &Path) -> PathBuf {
    let put = |name: &str, text: &str| {
        let file = folder.join(name);
        fs::write(&file, text).expect("the folder is ours");
        file.display().to_string()
    };
    let mut settings = String::new();
    if let Some((certificate, key)) = &guard.certificate {
        let (certificate, key) = (put("server.pem", certificate), put("server.key", key));
        settings += &format!("tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n");
        if let Some(ca) = &guard.client_ca {
            let ca = put("clients.pem", ca);
            settings += &format!(
                "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {ca}\n"
            );
        }
    }
    if let Some((user, hash)) = &guard.user {
        settings += &format!("basic_auth_users:\n  {user}: '{hash}'\n");
    }
    PathBuf::from(put("web.yml", &settings))
}
