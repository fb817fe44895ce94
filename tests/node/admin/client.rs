//! A browser as far as the tests need one: a cookie, forms, and the origin that belongs to them.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Answer, Node};

/// What a cookie of a session is called.
const COOKIE: &str = "__Host-ksnode=";

pub struct Client {
    /// `http://127.0.0.1:PORT`
    pub base: String,
    /// The cookie as it is sent, when there is one.
    pub cookie: Option<String>,
    /// Further headers of each request.
    pub headers: Vec<(&'static str, String)>,
}

impl Client {
    pub fn new(node: &Node) -> Self {
        Self::at(&node.url)
    }

    pub fn at(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            cookie: None,
            headers: Vec::new(),
        }
    }

    /// One that is logged in with the password.
    #[track_caller]
    pub fn logged_in(node: &Node, password: &str) -> Self {
        let mut client = Self::new(node);
        let answer = client.login(password, "");
        assert_eq!((answer.status, answer.header("location")), (303, "/admin"));
        client
    }

    /// The same with one more header on each request.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn login(&mut self, password: &str, code: &str) -> Answer {
        let fields = [("password", password), ("code", code)];
        let answer = self.send("/admin/login", &fields);
        self.keep_cookie(&answer);
        answer
    }

    pub fn get(&self, path: &str) -> Answer {
        Answer::from(self.open(path))
    }

    /// The same, and its body is not read yet.
    pub fn open(&self, path: &str) -> ureq::http::Response<ureq::Body> {
        let mut request = agent().get(format!("{}{path}", self.base));
        for (name, value) in self.all_headers() {
            request = request.header(name, value);
        }
        request.call().unwrap()
    }

    /// Sends a form with the session's token.
    #[track_caller]
    pub fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.csrf();
        let mut fields = fields.to_vec();
        fields.push(("csrf", &token));
        let answer = self.send(path, &fields);
        self.keep_cookie(&answer);
        answer
    }

    /// Sends a form as it is, from a page of the node's own.
    pub fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut request = agent().post(format!("{}{path}", self.base));
        if !self.headers.iter().any(|(name, _)| *name == "origin") {
            request = request.header("origin", &self.base);
        }
        for (name, value) in self.all_headers() {
            request = request.header(name, value);
        }
        let fields = fields.iter().copied();
        Answer::from(request.send_form(fields).unwrap())
    }

    /// The same as [`Self::post`] without waiting for the answer: who drops the connection has gone away.
    #[track_caller]
    pub fn begin(&self, path: &str, fields: &[(&str, &str)]) -> TcpStream {
        let token = self.csrf();
        let token = ("csrf", token.as_str());
        let fields = fields.iter().chain([&token]);
        let fields = fields.map(|(name, value)| format!("{name}={}", value.replace(' ', "+")));
        let body = fields.collect::<Vec<_>>().join("&");
        let (_, host) = self.base.split_once("://").unwrap();
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\norigin: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n",
            self.base,
            body.len()
        );
        for (name, value) in self.all_headers() {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(host).unwrap();
        let request = format!("{request}\r\n{body}");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    /// The token that the forms of the session carry.
    #[track_caller]
    pub fn csrf(&self) -> String {
        let page = self.get("/admin/account");
        assert_eq!(page.status, 200, "{page:?}");
        value_of(&page.text, "csrf").to_owned()
    }

    /// Whether the session is one.
    pub fn is_in(&self) -> bool {
        self.get("/admin").status == 200
    }

    fn keep_cookie(&mut self, answer: &Answer) {
        let set = answer.header("set-cookie");
        if let Some(pair) = set
            .split(';')
            .next()
            .filter(|pair| pair.starts_with(COOKIE))
        {
            self.cookie = (pair.len() > COOKIE.len()).then(|| pair.to_owned());
        }
    }

    fn all_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let cookie = self.cookie.iter().map(|cookie| ("cookie", cookie.as_str()));
        let own = self.headers.iter();
        own.map(|(name, value)| (*name, value.as_str()))
            .chain(cookie)
    }
}

/// The value of the hidden field of that name.
#[track_caller]
pub fn value_of<'a>(page: &'a str, name: &str) -> &'a str {
    let field = format!("name=\"{name}\" value=\"");
    let (_, rest) = page.split_once(&field).unwrap_or_else(|| panic!("{page}"));
    rest.split_once('"').unwrap().0
}

/// Follows no redirect, and takes every status for an answer.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(60)))
        .build()
        .into()
}
