//! nginx as an ingress controller configures it: TLS ends there, and requests go on to one upstream over HTTP/1.1 or gRPC.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use rcgen::CertifiedKey;

use super::{Server, accepts, find};
use crate::broker::Unavailable;
use crate::{Raw, free_address};

/// The address of this machine that its requests to the upstream come from, as an ingress's pod has one of its own.
pub const OWN_ADDRESS: &str = "127.0.0.7";

/// What the owner of an Ingress sets by annotations.
#[derive(Clone, Copy, Debug)]
pub struct Annotations {
    /// Bodies are gathered before they are passed on, in both directions (`proxy-buffering`, `proxy-request-buffering`).
    pub is_buffering: bool,
    /// Longest silence of the upstream (`proxy-read-timeout`).
    pub read_timeout: Duration,
}

impl Default for Annotations {
    fn default() -> Self {
        Self {
            is_buffering: false,
            read_timeout: Duration::from_secs(60),
        }
    }
}

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    server: Server,
    http2: SocketAddr,
    tls: SocketAddr,
    certificate: Vec<u8>,
}

impl Nginx {
    /// Leads requests for every host to `upstream`; those whose path begins with `/pkg.`, as gRPC.
    ///
    /// # Errors
    /// [`Unavailable::Skip`] where it is not installed.
    ///
    /// # Panics
    /// With the end of its log when it does not start.
    pub fn before(upstream: SocketAddr, annotations: Annotations) -> Result<Self, Unavailable> {
        let program = find("nginx", &["/usr/sbin"])?;
        let folder = Server::folder();
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a plain name");
        let [plain, http2, tls] = std::array::from_fn(|_| free_address());
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).expect("the folder is ours");
        };
        write("cert.pem", cert.pem());
        write("key.pem", signing_key.serialize_pem());
        let listen = format!("listen {plain}; listen {http2} http2; listen {tls} ssl;");
        let settings = settings(
            &folder.display().to_string(),
            &listen,
            upstream,
            annotations,
        );
        write("nginx.conf", settings);
        let path = |name: &str| folder.join(name).display().to_string();
        let command = [
            program.display().to_string(),
            "-e".to_owned(),
            "stderr".to_owned(),
            "-c".to_owned(),
            path("nginx.conf"),
        ];
        let is_ready = || [plain, http2, tls].into_iter().all(accepts);
        Ok(Self {
            server: Server::start(&folder, plain, command, is_ready),
            http2,
            tls,
            certificate: cert.der().to_vec(),
        })
    }

    /// Opens a connection for requests over HTTP/1.1.
    pub fn connect(&self) -> Raw {
        Raw::connect(self.server.address())
    }

    /// Where it speaks HTTP/2 without TLS.
    pub fn http2(&self) -> SocketAddr {
        self.http2
    }

    /// Where it speaks TLS, as `localhost`.
    pub fn tls(&self) -> SocketAddr {
        self.tls
    }

    /// Its certificate, in DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        self.server.log_tail()
    }
}

/// What ingress-nginx would make of it, by its documented defaults; one process, which a test can end for certain.
fn settings(
    folder: &str,
    listen: &str,
    upstream: SocketAddr,
    Annotations {
        is_buffering,
        read_timeout,
    }: Annotations,
) -> String {
    let buffering = if is_buffering { "on" } else { "off" };
    let silence = read_timeout.as_secs();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {folder}/{what};\n"))
        .concat();
    let told = |directive: &str| {
        [
            ("Host", "$http_host"),
            ("X-Request-ID", "$request_id"),
            ("X-Real-IP", "$remote_addr"),
            ("X-Forwarded-For", "$remote_addr"),
            ("X-Forwarded-Host", "$http_host"),
            ("X-Forwarded-Port", "$server_port"),
            ("X-Forwarded-Proto", "$scheme"),
            ("X-Forwarded-Scheme", "$scheme"),
            ("X-Scheme", "$scheme"),
            ("X-Original-Forwarded-For", "$http_x_forwarded_for"),
        ]
        .map(|(name, value)| format!("{directive} {name} {value};\n"))
        .concat()
    };
    let (over_http, over_grpc) = (told("proxy_set_header"), told("grpc_set_header"));
    format!(
        "daemon off; master_process off; worker_processes 1; pid {folder}/pid;
error_log stderr info;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  {temporary}
  client_max_body_size 64m;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  upstream activators {{ server {upstream}; keepalive 320; keepalive_timeout 60s; keepalive_requests 10000; }}
  upstream grpc_activators {{ server {upstream}; keepalive 320; keepalive_timeout 60s; keepalive_requests 10000; }}
  server {{
    {listen}
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    keepalive_timeout 75s;
    location / {{
      {over_http}
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_bind {OWN_ADDRESS};
      proxy_http_version 1.1;
      proxy_connect_timeout 5s;
      proxy_send_timeout {silence}s;
      proxy_read_timeout {silence}s;
      proxy_buffering {buffering};
      proxy_request_buffering {buffering};
      proxy_next_upstream error timeout;
      proxy_next_upstream_tries 3;
      proxy_redirect off;
      proxy_pass http://activators;
    }}
    location /pkg. {{
      {over_grpc}
      grpc_bind {OWN_ADDRESS};
      grpc_connect_timeout 5s;
      grpc_send_timeout {silence}s;
      grpc_read_timeout {silence}s;
      grpc_pass grpc://grpc_activators;
    }}
  }}
}}
"
    )
}
