//! Settings that an activator inside Knative follows while it runs: the gateways' certificate, whom
//! to believe about queue-proxies, and the log of requests.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use kube::Client;
use tokio_util::task::AbortOnDropHandle;
use zeron_activator::{ActivatorHandle, WriteLine};
use zeron_controller::knative_activator::{
    Certificate, follow_authorities, follow_certificate, follow_request_log,
};
use zeron_core::Chain;

/// Lines that may wait for whoever reads our standard output; more are lost.
const LINES: usize = 8_192;

/// Hands the gateways' certificate to the data plane, and every renewal of it, for as long as the
/// handle lives.
pub(super) fn certificates(
    client: &Client,
    namespace: &str,
    activator: ActivatorHandle,
) -> AbortOnDropHandle<()> {
    let (mut certificates, following) = follow_certificate(client, namespace);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let _following = following;
        while certificates.changed().await.is_ok() {
            let now = certificates.borrow_and_update().clone();
            let Some(Certificate { chain, key }) = now else {
                continue;
            };
            let set = activator.set_certificate(&chain, &key);
            tell("the certificate for gateways", set);
        }
    }))
}

/// Tells the data plane whose word counts about queue-proxies, for as long as the handle lives.
pub(super) fn authorities(
    client: &Client,
    namespace: &str,
    activator: ActivatorHandle,
) -> AbortOnDropHandle<()> {
    let (mut authorities, following) = follow_authorities(client, namespace);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let _following = following;
        loop {
            let now = authorities.borrow_and_update().clone();
            if !now.is_empty() {
                tell(
                    "what is believed about queue-proxies",
                    activator.set_authorities(&now),
                );
            }
            if authorities.changed().await.is_err() {
                return;
            }
        }
    }))
}

/// Logs requests as config-observability says, for as long as the handle lives.
pub(super) fn request_log(
    client: &Client,
    namespace: &str,
    activator: ActivatorHandle,
) -> AbortOnDropHandle<()> {
    let (mut wanted, following) = follow_request_log(client, namespace);
    AbortOnDropHandle::new(tokio::spawn(async move {
        let _following = following;
        let mut out = None;
        while wanted.changed().await.is_ok() {
            let now = wanted.borrow_and_update().clone();
            let Some(log) = now else {
                tracing::info!("requests are not logged any more");
                activator.log_no_requests();
                continue;
            };
            let out = Arc::clone(out.get_or_insert_with(standard_output));
            let set = activator.log_requests(&log.template, out);
            tell("the log of requests", set);
        }
    }))
}

/// What cannot be used changes nothing.
fn tell<E: std::error::Error + 'static>(what: &str, set: Result<(), E>) {
    match set {
        Ok(()) => tracing::info!("{what} is in force"),
        Err(error) => {
            let error = Chain(&error);
            tracing::error!(%error, "{what} cannot be used");
        }
    }
}

/// Lines of the request log go to standard output, as with Knative's own. Whoever answers requests
/// does not wait for it.
fn standard_output() -> WriteLine {
    let (sender, lines) = sync_channel::<Box<[u8]>>(LINES);
    let started = thread::Builder::new()
        .name("zeron-request-log".to_owned())
        .spawn(move || print_all(&lines, BufWriter::new(io::stdout())));
    if let Err(error) = started {
        tracing::error!(%error, "no thread for the request log");
    }
    Arc::new(move |line: &str| send(&sender, line))
}

fn send(sender: &SyncSender<Box<[u8]>>, line: &str) {
    // Full, or gone: a log is worth no request.
    sender.try_send(line.as_bytes().into()).ok();
}

/// Writes lines together while more are there.
fn print_all(lines: &Receiver<Box<[u8]>>, mut out: impl Write) {
    while let Ok(line) = lines.recv() {
        let mut next = Some(line);
        while let Some(line) = next {
            if out.write_all(&line).is_err() {
                return;
            }
            next = lines.try_recv().ok();
        }
        if out.flush().is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_whole_and_in_order() {
        let (sender, lines) = sync_channel(3);
        for line in ["a\n", "b\n", "c\n", "lost: nobody read\n"] {
            send(&sender, line);
        }
        drop(sender);
        let mut out = Vec::new();
        print_all(&lines, &mut out);
        assert_eq!(out, b"a\nb\nc\n");
    }
}
