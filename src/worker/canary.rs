//! The first worker of a generation tries its apps before it says that it is
//! ready: what cannot answer must not take the place of what does.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use tokio::time::Instant;

use super::Worker;
use super::service::REQUEST_ID;
use crate::config::{AppConfig, AppSource};
use crate::host::{App, Call, Failure, RequestBody, ResponseBody};

/// How much of an answer is read: more than any page of health has.
const MOST_READ: usize = 1 << 20;

/// Tries every app.
///
/// # Errors
/// One of them could not be instantiated, or did not answer as it should.
pub(super) async fn try_all(worker: &Worker) -> Result<()> {
    for app in &worker.apps {
        let config = app.config();
        let tried = match &config.health_path {
            Some(path) => ask(worker, app, path).await,
            None => app
                .try_instance(Instant::now() + config.request_timeout)
                .await
                .map_err(|failure| fault(config, "instantiating it", &failure)),
        };
        if let Err(fault) = tried {
            bail!("the canary of {}: {fault}", shown(&config.source));
        }
    }
    Ok(())
}

/// Has the app answer a request that no client has made.
async fn ask(worker: &Worker, app: &Arc<App>, path: &str) -> Result<(), String> {
    let id: Arc<str> = format!("{}-{}-probe", worker.index, worker.pid).into();
    let nothing: RequestBody = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(format!("http://localhost{path}"))
        .header(header::HOST, HeaderValue::from_static("localhost"))
        .header(header::USER_AGENT, HeaderValue::from_static("wasgun-canary"))
        .header(REQUEST_ID, &*id)
        .body(nothing)
        .map_err(|error| format!("--health-path {path}: {error}"))?;
    let asked = format!("GET {path}");
    let failed = |failure: Failure| fault(app.config(), &asked, &failure);
    let permit = worker.places.permit(|| ()).await.map_err(|none| none.to_string())?;
    let deadline = Instant::now() + app.config().request_timeout;
    let call = Call { id: id.clone(), deadline, secure: false, usage: Arc::default(), permit };
    let response = app.handle(request, call).await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() && !status.is_redirection() {
        return Err(format!(
            "{asked} (--health-path) was answered with {}, and 2xx or 3xx is needed",
            status.as_u16()
        ));
    }
    drain(response.into_body()).await.map_err(failed)?;
    tracing::debug!(request = &*id, "the canary was answered with {}", status.as_u16());
    Ok(())
}

/// Reads a body to its end, or as much of it as there is a reason to.
async fn drain(mut body: ResponseBody) -> Result<(), Failure> {
    let mut read = 0;
    while read < MOST_READ && !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        read += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(())
}

/// What is wrong, and with what: `asked` is the request, or the app itself.
fn fault(config: &AppConfig, asked: &str, failure: &Failure) -> String {
    match failure {
        Failure::Instantiate(error) => format!("it could not be instantiated: {}", error.root_cause()),
        Failure::Timeout => {
            format!("{asked} took longer than --request-timeout ({:?})", config.request_timeout)
        }
        failure => format!("{asked} failed: {failure}"),
    }
}

/// An app as the operator knows it.
fn shown(source: &AppSource) -> String {
    let name = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).display().to_string();
    source.path().map_or_else(|| source.to_string(), name)
}
