//! One request: from its head to its response, or to the refusal it gets.

use std::convert::Infallible;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::access::{Exchange, Outgoing};
use super::body::{self, BodyProblem};
use super::connection::Client;
use super::health::Probe;
use super::respond::Refusal;
use super::{Phase, Worker, request};
use crate::host::{self, Call, Failure};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers one request; whatever goes wrong becomes a response too.
pub(super) async fn answer(
    worker: Arc<Worker>,
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<Outgoing>, Infallible> {
    let (parts, body) = request.into_parts();
    let mut response = match Probe::of(&worker, client.door, &parts) {
        Some(probe) => probe.answer(&worker, &client, &parts),
        None => {
            let mut exchange = Exchange::begin(worker.clone(), &client, &parts);
            match respond(&mut exchange, &client, parts, body).await {
                Ok(response) => {
                    exchange.took();
                    exchange.answered(response.status());
                    response.map(|body| Outgoing::guest(body, exchange))
                }
                Err(refusal) => refuse(exchange, &refusal),
            }
        }
    };
    if *worker.phase.borrow() != Phase::Serving {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn respond(
    exchange: &mut Exchange,
    client: &Client,
    mut parts: http::request::Parts,
    body: Incoming,
) -> Result<host::Response, Refusal> {
    if let Some(violation) = exchange.framing.violation() {
        exchange.unreadable();
        return Err(Refusal::Violation(violation));
    }
    let config = exchange.worker().inheritance.config.clone();
    let origin = request::prepare(&mut parts, client.peer, &config.http.forwarded_allow_ips)
        .ok_or(Refusal::BadTarget)?;
    exchange.came_from(origin.client);
    if let Some(id) = origin.request_id.as_ref().and_then(|id| id.to_str().ok()) {
        exchange.id = id.into();
    }
    if let Ok(id) = HeaderValue::try_from(&*exchange.id) {
        parts.headers.insert(REQUEST_ID, id);
    }
    // One app, for now; the place where a router will choose.
    let app = exchange.worker().apps[0].clone();
    let patience = app.config().request_timeout;
    let limit = config.http.limit_request_body;
    let arrival = Instant::now() + patience;
    let http = &config.http;
    let read = body::read_ahead(body, http.body_buffer, limit, http.body_patience, arrival).await;
    let read = read.map_err(|problem| {
        exchange.framing.body_violation().map_or(Refusal::Body(problem), Refusal::Violation)
    })?;
    let places = &exchange.worker().places;
    let unread = read.is_coming();
    let streaming = match unread {
        // It occupies nothing while it waits, and its client is held up anyway.
        true => Some(places.for_body(arrival).await.ok_or(Refusal::FullOfBodies)?),
        false => None,
    };
    let permit =
        places.permit(|| app.make_way(places.all())).await.map_err(|why| Refusal::Full { why, unread })?;
    client.settle();
    let (watch, body) = (read.watch.clone(), read.for_guest(streaming));
    exchange.received = Some(watch.clone());
    let call = Call {
        id: exchange.id.clone(),
        permit,
        usage: exchange.usage.clone(),
        // The guest's time begins when it can.
        deadline: Instant::now() + patience,
        secure: origin.secure,
    };
    let result = app.handle(Request::from_parts(parts, body), call).await;
    if let Some(violation) = exchange.framing.body_violation() {
        return Err(Refusal::Violation(violation));
    }
    if let Some(problem @ (BodyProblem::TooLarge | BodyProblem::TooSlow)) = watch.problem() {
        return Err(Refusal::Body(problem.clone()));
    }
    result.map_err(|failure| match (failure, watch.problem()) {
        // The guest waited for the client.
        (Failure::Timeout, _) if watch.is_waiting() => Refusal::Body(BodyProblem::TooSlow),
        (failure, Some(problem)) if failure.may_follow_a_broken_body() => Refusal::Body(problem.clone()),
        (failure, _) => Refusal::App(failure),
    })
}

fn refuse(mut exchange: Exchange, refusal: &Refusal) -> Response<Outgoing> {
    let decision = refusal.decide();
    exchange.answered(decision.status);
    match refusal {
        Refusal::App(failure) => exchange.failed(Some(decision.status), &decision.cause, Some(failure)),
        refusal if refusal.is_overload() => exchange
            .worker()
            .turned_away
            .note(|untold| exchange.turned_away(decision.status, &decision.cause, untold)),
        _ => exchange.refused(decision.status, &decision.cause),
    }
    decision.response(&exchange.id).map(|body| Outgoing::text(body, exchange))
}
