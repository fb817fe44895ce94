//! A browser that is driven: real Chromium through chromedriver, by the WebDriver protocol (W3C, "WebDriver") spoken as it is.
//! A library for it would bring a second HTTP client and an asynchronous runtime for two dozen short calls.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use serde_json::{Value, json};

use crate::support::{agent, wait_for};

/// The key under which the protocol names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Where screenshots go.
fn screenshots() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// A browser with one window. It knows nobody but the node, and trusts every certificate.
pub struct Browser {
    driver: Child,
    session: String,
    /// Before each path.
    site: String,
}

/// How a page is looked at.
#[derive(Clone, Copy)]
pub struct Look {
    pub name: &'static str,
    theme: &'static str,
    width: u64,
}

/// The looks of which there are screenshots.
pub const LOOKS: [Look; 4] = [
    Look {
        name: "light",
        theme: "light",
        width: 1280,
    },
    Look {
        name: "dark",
        theme: "dark",
        width: 1280,
    },
    Look {
        name: "phone",
        theme: "light",
        width: 390,
    },
    Look {
        name: "phone-dark",
        theme: "dark",
        width: 390,
    },
];

impl Browser {
    /// A browser whose profile is in `home`, for the pages of `site`.
    pub fn start(home: &Path, site: &str) -> Self {
        Self::start_with(home, site, &json!({}))
    }

    /// One in which no script runs.
    pub fn start_without_scripts(home: &Path, site: &str) -> Self {
        let off = json!({"profile.managed_default_content_settings.javascript": 2});
        Self::start_with(home, site, &off)
    }

    fn start_with(home: &Path, site: &str, preferences: &Value) -> Self {
        let (driver, port) = wait_for("chromedriver", || start_driver(home));
        let profile = format!("--user-data-dir={}", home.join("profile").display());
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"prefs": preferences, "args": [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-quic",
                "--no-first-run",
                "--hide-scrollbars",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--no-proxy-server",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                profile,
            ]},
        }}});
        let url = format!("http://127.0.0.1:{port}/session");
        let mut browser = Self {
            driver,
            session: url.clone(),
            site: site.to_owned(),
        };
        let id = browser.ask("POST", "", &capabilities)["sessionId"].clone();
        browser.session = format!("{url}/{}", id.as_str().unwrap());
        browser.look(LOOKS[0], 900);
        browser
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_to(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path} {body}: {error}"))
    }

    fn try_to(&self, method: &str, path: &str, body: &Value) -> Result<Value, Value> {
        let url = format!("{}{path}", self.session);
        let mut answer = match method {
            "GET" => agent().get(url).call().unwrap(),
            _ => agent().post(url).send_json(body).unwrap(),
        };
        let value = answer
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_json::<Value>()
            .unwrap()["value"]
            .take();
        if answer.status().is_success() {
            Ok(value)
        } else {
            Err(value)
        }
    }

    /// Goes to a path of the site.
    #[track_caller]
    pub fn open(&self, path: &str) {
        self.ask(
            "POST",
            "/url",
            &json!({"url": format!("{}{path}", self.site)}),
        );
    }

    /// The path, with its query, that is shown.
    pub fn path(&self) -> String {
        let url = self.url();
        url.strip_prefix(&self.site).unwrap_or(&url).to_owned()
    }

    /// The whole address of it.
    pub fn url(&self) -> String {
        let url = self.ask("GET", "/url", &Value::Null);
        url.as_str().unwrap().to_owned()
    }

    /// Asks something of the first element of a CSS selector, once there is one. A page that comes while it is asked is waited
    /// for: the element has to be found again there.
    #[track_caller]
    fn element(&self, selector: &str, method: &str, what: &str, body: &Value) -> Value {
        let query = json!({"using": "css selector", "value": selector});
        wait_for(selector, || {
            let found = self.try_to("POST", "/element", &query).ok()?;
            let path = format!("/element/{}/{what}", found[ELEMENT].as_str()?);
            match self.try_to(method, &path, body) {
                Err(error) if error["error"] == "stale element reference" => None,
                done => Some(done.unwrap_or_else(|error| panic!("{what} of {selector}: {error}"))),
            }
        })
    }

    /// Whether there is an element.
    pub fn has(&self, selector: &str) -> bool {
        let query = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "/elements", &query);
        !found.as_array().unwrap().is_empty()
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        self.element(selector, "POST", "click", &json!({}));
    }

    #[track_caller]
    pub fn type_into(&self, selector: &str, text: &str) {
        self.element(selector, "POST", "value", &json!({"text": text}));
    }

    /// Presses keys wherever the focus is.
    pub fn press(&self, key: char) {
        let press = json!([{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]);
        let keys = json!({"actions": [{"type": "key", "id": "keyboard", "actions": press}]});
        self.ask("POST", "/actions", &keys);
    }

    /// What people see of an element.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let text = self.element(selector, "GET", "text", &Value::Null);
        text.as_str().unwrap().to_owned()
    }

    /// The same on one line, with a space between words.
    #[track_caller]
    pub fn words(&self, selector: &str) -> String {
        let text = self.text(selector);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Waits until an element says `text`.
    #[track_caller]
    pub fn wait_for(&self, selector: &str, text: &str) {
        wait_for(text, || {
            let query = json!({"using": "css selector", "value": selector});
            let found = self.try_to("POST", "/element", &query).ok()?;
            let path = format!("/element/{}/text", found[ELEMENT].as_str()?);
            // It may have been replaced in between.
            let shown = self.try_to("GET", &path, &Value::Null).ok()?;
            shown.as_str()?.contains(text).then_some(())
        });
    }

    /// What a script returns. It runs beside the page, so that the page's own policy does not forbid it.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.ask(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    /// The same of a script that calls its last argument.
    #[track_caller]
    pub fn run_to_its_end(&self, script: &str) -> Value {
        self.ask(
            "POST",
            "/execute/async",
            &json!({"script": script, "args": []}),
        )
    }

    /// A command of the browser's own protocol.
    pub fn command(&self, name: &str, parameters: &Value) {
        let command = json!({"cmd": name, "params": parameters});
        self.ask("POST", "/goog/cdp/execute", &command);
    }

    /// Gives the window a width, and the theme that its system is said to have.
    pub fn look(&self, look: Look, height: u64) {
        let theme = json!({"name": "prefers-color-scheme", "value": look.theme});
        self.command("Emulation.setEmulatedMedia", &json!({"features": [theme]}));
        let size = json!({
            "width": look.width, "height": height, "deviceScaleFactor": 1, "mobile": look.width < 600,
        });
        self.command("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Writes the whole page into the folder of screenshots.
    pub fn shoot(&self, name: &str, look: Look) {
        self.look(look, 900);
        let height = self.run("return document.documentElement.scrollHeight");
        self.look(look, height.as_u64().unwrap().clamp(900, 6000));
        let image = self.ask("GET", "/screenshot", &Value::Null);
        let image = base64::engine::general_purpose::STANDARD
            .decode(image.as_str().unwrap())
            .unwrap();
        let file = screenshots().join(format!("{name}-{}.png", look.name));
        std::fs::write(file, image).unwrap();
        self.look(look, 900);
    }

    /// What was written to the console since it was asked for last.
    pub fn console(&self) -> Vec<String> {
        let lines = self.ask("POST", "/se/log", &json!({"type": "browser"}));
        let lines = lines.as_array().unwrap().iter();
        lines
            .map(|line| line["message"].as_str().unwrap().to_owned())
            .collect()
    }
}

/// A driver and its port. It looks for a free one before it listens there, and ends when somebody else has taken it meanwhile.
fn start_driver(home: &Path) -> Option<(Child, String)> {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .env("HOME", home)
        .env("XDG_CONFIG_HOME", typeface(home))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver; `tests/all --prepare` installs it");
    let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("successfully on port ")?;
        Some(port.trim_end_matches('.').to_owned())
    });
    let Some(port) = port else {
        driver.wait().unwrap();
        return None;
    };
    std::thread::spawn(move || lines.for_each(drop));
    Some((driver, port))
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session; without it, it would stay behind.
        let _ = agent().delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A folder of settings that has the browser take Inter where pages ask for the system's typeface: the one of a bare Debian
/// is wider than those that people have.
fn typeface(home: &Path) -> PathBuf {
    let folder = home.join("config");
    std::fs::create_dir_all(folder.join("fontconfig")).unwrap();
    let rule = |family| {
        format!(
            r#"<match target="pattern"><test name="family"><string>{family}</string></test><edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>"#
        )
    };
    let rules: String = ["system-ui", "sans", "sans-serif"].map(rule).concat();
    let text = format!(
        r#"<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>{rules}</fontconfig>"#
    );
    std::fs::write(folder.join("fontconfig/fonts.conf"), text).unwrap();
    folder
}
