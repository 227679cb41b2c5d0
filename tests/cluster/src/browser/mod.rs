//! A real browser, headless, that a test looks through.
//!
//! It is Chromium over its own debugging pipe: JSON between NUL bytes, no port, no socket, and so no crate. A driver or a
//! websocket would be a build and a process more for what are five commands. Nothing here knows the dashboard.
//!
//! Read next: [`Browser`]; `pipe` for the bytes.

mod find;
mod pipe;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use xtask::clock::{Deadline, wait_for};

pub use find::{NAMES, find};
use pipe::Pipe;

/// How long a page may take to be there.
const LOAD_LIMIT: Duration = Duration::from_secs(30);

/// Makes a picture small: at most 256 colours, as a PNG with a palette. See the file.
const PALETTE: &str = include_str!("palette.js");

/// What the browser answers where one page has gone and the next has not come.
const BETWEEN_PAGES: [&str; 2] = ["Inspected target navigated", "Cannot find context"];

/// How large the window is, in pixels.
const WINDOW: (u32, u32) = (1280, 1000);

/// Which one people prefer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// A browser with one page. It ends when this is dropped.
#[derive(Debug)]
pub struct Browser {
    pipe: Pipe,
    // Removed after the process has ended.
    _profile: TempDir,
}

impl Browser {
    /// Starts one with a profile of its own.
    ///
    /// # Errors
    /// There is none on this machine, and what to install; or it does not start.
    pub fn start() -> Result<Self> {
        let profile =
            tempfile::Builder::new().prefix("aether-browser-").tempdir().context("a folder for the browser")?;
        let pipe = Pipe::start(&find(|name| std::env::var_os(name))?, profile.path())?;
        let mut browser = Self { pipe, _profile: profile };
        browser.attach()?;
        browser.resize(WINDOW.0, WINDOW.1)?;
        Ok(browser)
    }

    fn attach(&mut self) -> Result<()> {
        let target = self.pipe.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attached =
            self.pipe.call("Target.attachToTarget", &json!({"targetId": target["targetId"], "flatten": true}))?;
        self.pipe.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Accessibility"] {
            self.pipe.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(())
    }

    /// Opens that address and waits until its document is there. What the last one complained of is forgotten.
    ///
    /// # Errors
    /// Nothing answers there, or not in time.
    pub fn open(&mut self, url: &str) -> Result<()> {
        let went = self.pipe.call("Page.navigate", &json!({"url": url}))?;
        ensure!(went.get("errorText").is_none(), "{url} cannot be opened: {}", went["errorText"]);
        self.until("the page to be there", "document.readyState === 'complete'", LOAD_LIMIT)?;
        Ok(())
    }

    /// Runs this before any script of the pages that are opened from now on.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn before_each_page(&mut self, script: &str) -> Result<()> {
        self.pipe.call("Page.addScriptToEvaluateOnNewDocument", &json!({"source": script})).map(drop)
    }

    /// What this expression is in the page, awaited if it is a promise.
    ///
    /// # Errors
    /// It throws.
    pub fn says(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let answered = self.pipe.call("Runtime.evaluate", &asked)?;
        let thrown = &answered["exceptionDetails"];
        ensure!(thrown.is_null(), "`{expression}` throws {thrown}");
        Ok(answered["result"]["value"].clone())
    }

    /// Waits until this expression is true, or something else that counts as such, and answers it.
    ///
    /// # Errors
    /// Not within `limit`; the error has the page's text.
    pub fn until(&mut self, what: &str, expression: &str, limit: Duration) -> Result<Value> {
        let truthy = |value: &Value| !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0);
        let found = wait_for(what, Deadline::after(limit), || match self.says(expression) {
            // Between two pages there is none that could say anything.
            Err(error) if BETWEEN_PAGES.iter().any(|said| error.to_string().contains(said)) => Ok(None),
            said => Ok(Some(said?).filter(truthy)),
        });
        found.with_context(|| {
            let text = self.says("document.body.innerText.slice(0, 2000)").unwrap_or_default();
            format!("the page says {text}; it complained of {:?}", self.complaints())
        })
    }

    /// Presses a key, as `KeyboardEvent.key` names it.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn press(&mut self, key: &str) -> Result<()> {
        let text = match key {
            "Enter" => "\r",
            key if key.chars().count() == 1 => key,
            _ => "",
        };
        // What a key does by itself goes by its number: Tab moves on, Enter sends a form.
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            _ => 0,
        };
        for (kind, text) in [("keyDown", text), ("keyUp", "")] {
            let event = json!({"type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code});
            self.pipe.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// Clicks the middle of the first element that fits the selector.
    ///
    /// # Errors
    /// There is none.
    pub fn click(&mut self, selector: &str) -> Result<()> {
        let at = self.says(&format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{ block: 'center' }}); \
             const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] }})()"
        ))?;
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.pipe.call("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// Makes the window that large.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.pipe.call("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// Prefers light or dark from now on.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn prefer(&mut self, scheme: Scheme) -> Result<()> {
        let value = if scheme == Scheme::Dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.pipe.call("Emulation.setEmulatedMedia", &media).map(drop)
    }

    /// What a screen reader is told of the page: each element's role and name.
    ///
    /// # Errors
    /// The browser is gone.
    pub fn accessible(&mut self) -> Result<Vec<(String, String)>> {
        let tree = self.pipe.call("Accessibility.getFullAXTree", &json!({}))?;
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value["value"].as_str().unwrap_or_default().to_owned();
        let told = nodes.iter().filter(|node| node["ignored"] != json!(true));
        Ok(told.map(|node| (text(&node["role"]), text(&node["name"]))).collect())
    }

    /// What the page has complained of since the last time: exceptions, `console.error` and `console.warn`, and what the
    /// browser itself logs as an error. That a server cannot be reached it logs as well.
    pub fn complaints(&mut self) -> Vec<String> {
        let mut complaints = Vec::new();
        for event in self.pipe.take_events() {
            let (method, said) = (event["method"].as_str().unwrap_or_default(), &event["params"]);
            let complained = match method {
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => said["type"] == "error" || said["type"] == "warning",
                "Log.entryAdded" => said["entry"]["level"] == "error",
                _ => false,
            };
            if complained {
                complaints.push(format!("{method}: {said}"));
            }
        }
        complaints
    }

    /// Saves what the page shows from its top, `height` pixels of it, as a PNG of at most 256 colours. The page is gone after
    /// it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_picture(&mut self, path: &Path, height: u32) -> Result<()> {
        let clip = json!({"x": 0, "y": 0, "width": WINDOW.0, "height": height, "scale": 1});
        let asked = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let full = self.pipe.call("Page.captureScreenshot", &asked)?;
        self.open("about:blank")?;
        let bytes = self.says(&format!("({PALETTE})({})", full["data"]))?;
        let bytes: Vec<u8> = serde_json::from_value(bytes).context("the picture's bytes")?;
        std::fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
    }
}
