//! A gateway in front of control: it routes control's public paths, and answers at a server's path as the filter does.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tokio::net::TcpListener;

/// What is wrong with its routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The path has no route: a page of the gateway's own.
    NoRoute(&'static str),
    /// Control gets another host than the client sent.
    OtherHost,
}

/// The gateway. It ends with the test's runtime.
pub(super) struct Gateway {
    url: String,
    listener: Mutex<Option<TcpListener>>,
    fault: Arc<Mutex<Option<Fault>>>,
}

#[derive(Clone)]
struct Routes {
    url: String,
    control: String,
    fault: Arc<Mutex<Option<Fault>>>,
    http: reqwest::Client,
}

impl Gateway {
    /// Takes a free port of the loopback.
    pub(super) async fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            url: format!("http://{}", listener.local_addr()?),
            listener: Mutex::new(Some(listener)),
            fault: Arc::default(),
        })
    }

    /// `http://127.0.0.1:PORT`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Begins to route requests to `control`.
    pub(super) fn serve(&self, control: &str) {
        let routes = Routes {
            url: self.url.clone(),
            control: control.to_owned(),
            fault: Arc::clone(&self.fault),
            http: reqwest::Client::new(),
        };
        let listener = self
            .listener
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(listener) = listener {
            let router = Router::new().fallback(route).with_state(routes);
            tokio::spawn(async move { axum::serve(listener, router).await });
        }
    }

    /// From now on it has this fault alone.
    pub(super) fn break_it(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }
}

async fn route(State(routes): State<Routes>, request: Request<Body>) -> Response {
    let fault = *routes.fault.lock().unwrap_or_else(PoisonError::into_inner);
    let (request, _) = request.into_parts();
    let path = request.uri.path();
    if matches!(fault, Some(Fault::NoRoute(broken)) if broken == path) {
        let page = [(CONTENT_TYPE, "text/html")];
        return (StatusCode::NOT_FOUND, page, "<h1>no such route</h1>").into_response();
    }
    if path == "/kubernetes" {
        let metadata = format!("{}/.well-known/oauth-protected-resource/kubernetes", routes.url);
        let challenge = format!("Bearer resource_metadata=\"{metadata}\", scope=\"mcp\"");
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge)]).into_response();
    }
    match routes.to_control(&request, fault).await {
        Ok(response) => response,
        Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    }
}

impl Routes {
    async fn to_control(&self, request: &Parts, fault: Option<Fault>) -> anyhow::Result<Response> {
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let mut headers = request.headers.clone();
        if fault == Some(Fault::OtherHost) {
            headers.insert(HOST, "control.tokenward.svc".parse()?);
        }
        let answer = self
            .http
            .request(request.method.clone(), format!("{}{target}", self.control))
            .headers(headers)
            .send()
            .await?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        Ok(response.body(Body::from(answer.bytes().await?))?)
    }
}
