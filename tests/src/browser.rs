//! A browser: Chromium without a screen, driven over `WebDriver`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::prelude::*;
use serde_json::{Value, json};

use crate::{Process, guard, programs, wait};

/// Notes what the policy of a page has blocked, from before its first script on.
const WATCH: &str = "window.violations = []; \
     addEventListener('securitypolicyviolation', (event) => \
         window.violations.push(`${event.effectiveDirective}: ${event.blockedURI}`));";

/// A browser with one page. It is ended on drop.
#[derive(Debug)]
pub struct Browser {
    /// The browser ends with it, because its pipe to the driver closes.
    driver: Process,
    folder: PathBuf,
    agent: ureq::Agent,
    session: String,
}

impl Browser {
    /// Starts the browser. It reaches this machine only.
    ///
    /// # Panics
    /// If it or its driver is not installed.
    #[must_use]
    pub fn start() -> Self {
        let is_installed = Command::new("chromedriver")
            .arg("--version")
            .output()
            .is_ok();
        assert!(
            is_installed,
            "there is no chromedriver: run `make test`, or `scripts/setup browser`"
        );
        let folder = guard::folder("browser");
        let mut driver = Process::start(
            "the browser's driver",
            Command::new("chromedriver").arg("--port=0"),
        );
        let begin = "was started successfully on port ";
        driver.says(&[begin]);
        let port = wait::until(wait::LONG, || {
            let out = driver.out();
            let (port, _) = out.split_once(begin)?.1.split_once('.')?;
            port.parse::<u16>().ok()
        });
        let port = port.unwrap_or_else(|| panic!("it says no port: {}", driver.report()));
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(wait::LONG))
            .http_status_as_error(false)
            .proxy(None);
        let mut browser = Browser {
            driver,
            agent: config.build().new_agent(),
            session: format!("http://127.0.0.1:{port}/session"),
            folder,
        };
        let answer = browser.post("", &capabilities(&browser.folder));
        let id = answer["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("{}/{id}", browser.session);
        browser.devtools(
            "Page.addScriptToEvaluateOnNewDocument",
            &json!({ "source": WATCH }),
        );
        browser
    }

    /// Opens a page, and waits until it is loaded.
    pub fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What a function with this body returns on the page.
    #[must_use]
    pub fn run(&self, body: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// The text of an element. Empty if there is none.
    #[must_use]
    pub fn text(&self, selector: &str) -> String {
        let text = self.run(&format!(
            "const element = document.querySelector({selector:?});
             return element?.innerText ?? element?.textContent ?? ''"
        ));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The errors that the console has shown since the last call.
    #[must_use]
    pub fn console_errors(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }));
        let entries = entries.as_array().cloned().unwrap_or_default();
        let is_error = |entry: &Value| entry["level"] != "INFO" && entry["level"] != "DEBUG";
        entries
            .iter()
            .filter(|entry| is_error(entry))
            .map(Value::to_string)
            .collect()
    }

    /// What the page's policy has blocked.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        strings(&self.run("return window.violations"))
    }

    /// The URLs of everything that the page has asked for, itself included.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let entries = "performance.getEntries().filter((entry) => 'initiatorType' in entry)";
        strings(&self.run(&format!("return {entries}.map((entry) => entry.name)")))
    }

    /// Shows the page as on a screen of this size, with dark colours or light ones.
    pub fn emulate(&self, width: u32, height: u32, is_dark: bool) {
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600,
        });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        let scheme = if is_dark { "dark" } else { "light" };
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [feature] }),
        );
    }

    /// Moves the mouse to the middle of an element.
    pub fn hover(&self, selector: &str) {
        let middle = self.run(&format!(
            "const element = document.querySelector({selector:?});
             element.scrollIntoView({{ block: 'center' }});
             const box = element.getBoundingClientRect();
             return [box.x + box.width / 2, box.y + box.height / 2].map(Math.round)"
        ));
        let to = json!({ "type": "pointerMove", "x": middle[0], "y": middle[1], "duration": 0 });
        let mouse = json!({ "type": "pointer", "id": "mouse", "actions": [to] });
        self.post("/actions", &json!({ "actions": [mouse] }));
    }

    /// Clicks on an element.
    pub fn click(&self, selector: &str) {
        let element = self.element(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    /// Types into an element. `\u{e007}` is Enter, as `WebDriver` says.
    pub fn type_into(&self, selector: &str, text: &str) {
        let element = self.element(selector);
        self.post(
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    fn element(&self, selector: &str) -> String {
        let by = json!({ "using": "css selector", "value": selector });
        let found = self.post("/element", &by);
        let id = found.as_object().and_then(|found| found.values().next());
        let id = id.and_then(Value::as_str);
        id.unwrap_or_else(|| panic!("no element is {selector}"))
            .to_owned()
    }

    /// The page asks nobody but its own server, shows no error, and does what its policy allows.
    pub fn check_clean(&self, url: &str) {
        assert_eq!(self.console_errors(), Vec::<String>::new());
        assert_eq!(self.violations(), Vec::<String>::new());
        let requests = self.requests();
        let of_plotly = |request: &String| request.ends_with("/plotly.min.js");
        assert!(requests.iter().any(of_plotly), "{requests:?}");
        let own = |request: &&String| request.starts_with(url) || request.starts_with("data:");
        let others: Vec<_> = requests.iter().filter(|request| !own(request)).collect();
        assert!(others.is_empty(), "{others:?}");
    }

    /// What axe-core finds on the page that hinders people much: its rule, and where.
    ///
    /// # Panics
    /// If axe-core is not installed.
    #[must_use]
    pub fn barriers(&self) -> Vec<String> {
        let folders = std::fs::read_dir(programs::target().join("axe/lib"));
        let script = folders.into_iter().flatten().flatten().find_map(|python| {
            let package = "site-packages/axe_playwright_python/axe.min.js";
            std::fs::read_to_string(python.path().join(package)).ok()
        });
        let script =
            script.expect("axe-core is there: run `make test`, or `scripts/setup browser`");
        // What the driver runs is not of the page, so its policy does not hold for it.
        let found = self.run(&format!(
            "{script};
             return axe.run({{ resultTypes: ['violations'] }}).then((found) => found.violations
                 .filter((one) => ['serious', 'critical'].includes(one.impact))
                 .map((one) => `${{one.id}}: ${{one.nodes.map((node) => node.html).join(' ')}}`))"
        ));
        strings(&found)
    }

    /// Writes a picture of the page into the folder `target/pages`, for whoever wants to see it.
    pub fn screenshot(&self, name: &str) {
        self.screenshot_to(&programs::target().join("pages"), name);
    }

    /// Writes a picture of the page into a folder: `NAME.png`.
    pub fn screenshot_to(&self, folder: &Path, name: &str) {
        let image = self.get("/screenshot");
        let image = image
            .as_str()
            .and_then(|image| BASE64_STANDARD.decode(image).ok());
        std::fs::create_dir_all(folder)
            .and_then(|()| {
                let image = image.expect("a screenshot is in base64");
                std::fs::write(folder.join(name).with_extension("png"), image)
            })
            .unwrap_or_else(|error| panic!("writing to {}: {error}", folder.display()));
    }

    /// The same of the whole page, however long it is, on a screen of this width.
    pub fn whole_screenshot(&self, name: &str, width: u32, is_dark: bool) {
        let height = self.run("return document.documentElement.scrollHeight");
        let height = height
            .as_u64()
            .and_then(|height| u32::try_from(height).ok());
        self.emulate(width, height.unwrap_or(2000).min(6000), is_dark);
        self.screenshot(name);
    }

    /// Asks the browser something that `WebDriver` has no word for.
    fn devtools(&self, command: &str, parameters: &Value) {
        self.post(
            "/goog/cdp/execute",
            &json!({ "cmd": command, "params": parameters }),
        );
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        self.value(path, self.agent.post(url).send(body.to_string()))
    }

    fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.session);
        self.value(path, self.agent.get(url).call())
    }

    /// The value in an answer of the driver.
    fn value(
        &self,
        path: &str,
        sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Value {
        let read = sent.and_then(|mut response| {
            // A screenshot has some hundred kilobytes.
            let body = response
                .body_mut()
                .with_config()
                .limit(50 << 20)
                .read_to_string()?;
            Ok((response.status(), body))
        });
        let (status, body) =
            read.unwrap_or_else(|error| panic!("{path}: {error}{}", self.driver.report()));
        assert!(
            status.is_success(),
            "the browser's driver: {path}: {status}: {body}"
        );
        let mut answer: Value = serde_json::from_str(&body).expect(&body);
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its files are complete then. If it does not answer, it is killed.
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5)));
        let _ = config.build().new_agent().delete(&self.session).call();
        if self.driver.is_running() {
            self.driver.kill();
        }
        guard::remove(&self.folder);
    }
}

fn capabilities(folder: &Path) -> Value {
    let owner = std::fs::metadata(folder).map(|folder| folder.uid());
    let mut arguments = vec![
        "--headless=new".to_owned(),
        "--hide-scrollbars".to_owned(),
        // Ends it with its driver.
        "--remote-debugging-pipe".to_owned(),
        format!("--user-data-dir={}", folder.display()),
        // Where /dev/shm is small.
        "--disable-dev-shm-usage".to_owned(),
        // It must not ask anybody by itself.
        "--disable-background-networking".to_owned(),
        "--disable-component-update".to_owned(),
        "--no-first-run".to_owned(),
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1".to_owned(),
    ];
    if owner.is_ok_and(|owner| owner == 0) {
        // Its sandbox is not for root.
        arguments.push("--no-sandbox".to_owned());
    }
    json!({ "capabilities": { "alwaysMatch": {
        "goog:chromeOptions": { "args": arguments },
        "goog:loggingPrefs": { "browser": "ALL" },
    } } })
}

fn strings(list: &Value) -> Vec<String> {
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
