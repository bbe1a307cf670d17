//! Debian's Chromium, driven through its WebDriver program.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::error::{WebDriverError, WebDriverErrorInner};
use thirtyfour::{By, ChromiumLikeCapabilities as _, DesiredCapabilities, WebDriver, WebElement};
use tokenward_harness::parts::{Process, ProcessSpec, ports, tools};

/// A loaded machine starts both programs in seconds.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// A page of this suite is one answer from this machine.
const LOADS_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// No sandbox: tests run as root in containers. No network but what a test opens.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
];

/// What the window and its user are like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Width and height of the page, CSS pixels.
    pub(crate) size: (u32, u32),
    /// The user prefers a dark page.
    pub(crate) dark: bool,
    /// Pages may run scripts.
    pub(crate) scripts: bool,
}

impl Manner {
    /// A window on a desk.
    pub(crate) const DESK: Self = Self {
        size: (1024, 768),
        dark: false,
        scripts: true,
    };
    /// The narrowest phone.
    pub(crate) const PHONE: Self = Self {
        size: (320, 640),
        ..Self::DESK
    };
}

/// A browser with an empty profile. It ends when it is dropped.
pub(crate) struct Chromium {
    driver: WebDriver,
    driver_port: u16,
    _process: Process,
    _profile: TempDir,
}

/// Both programs; `None` where one of them is not installed.
pub(crate) fn programs() -> anyhow::Result<Option<(PathBuf, PathBuf)>> {
    Ok(tools::chromium()?.zip(tools::chromedriver()?))
}

impl Chromium {
    /// Starts it.
    pub(crate) async fn start(manner: Manner) -> anyhow::Result<Self> {
        let (browser, driver) = programs()?.context(tools::CHROMIUM_IS_MISSING)?;
        let profile = TempDir::with_prefix("tokenward-chromium-")?;
        let port = ports::free_port()?;
        let mut spec = ProcessSpec::new("chromedriver", driver, [format!("--port={port}")]);
        let home = profile.path().display().to_string();
        spec.environment = vec![("HOME".to_owned(), home)];
        let process = Process::start(&spec)?;
        let mut capabilities = DesiredCapabilities::chrome();
        for flag in FLAGS {
            capabilities.add_arg(flag)?;
        }
        capabilities.add_arg(&format!(
            "--user-data-dir={}",
            profile.path().join("profile").display()
        ))?;
        capabilities.set_binary(&browser.display().to_string())?;
        capabilities.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        let url = format!("http://{}:{port}", Ipv4Addr::LOCALHOST);
        let starting = async {
            loop {
                match WebDriver::new(&url, capabilities.clone()).await {
                    Ok(driver) => break driver,
                    Err(_) => tokio::time::sleep(LOOK_AGAIN).await,
                }
            }
        };
        let driver = tokio::time::timeout(STARTS_WITHIN, starting)
            .await
            .with_context(|| format!("no browser within {STARTS_WITHIN:?}"))?;
        let chromium = Self {
            driver,
            driver_port: port,
            _process: process,
            _profile: profile,
        };
        chromium.behave(manner).await?;
        Ok(chromium)
    }

    async fn behave(&self, manner: Manner) -> anyhow::Result<()> {
        let (width, height) = manner.size;
        let scheme = if manner.dark { "dark" } else { "light" };
        let commands = [
            (
                "Emulation.setDeviceMetricsOverride",
                json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
            ),
            (
                "Emulation.setEmulatedMedia",
                json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}),
            ),
            (
                "Emulation.setScriptExecutionDisabled",
                json!({"value": !manner.scripts}),
            ),
        ];
        for (command, parameters) in commands {
            self.driver.cdp().send_raw(command, parameters).await?;
        }
        Ok(())
    }

    /// Opens an address; a page without an answer is an error.
    pub(crate) async fn open(&self, url: &str) -> anyhow::Result<()> {
        self.driver
            .goto(url)
            .await
            .with_context(|| format!("the browser cannot open {url}"))
    }

    /// The address of the page that it shows.
    pub(crate) async fn address(&self) -> anyhow::Result<url::Url> {
        Ok(self.driver.current_url().await?)
    }

    /// Its title.
    pub(crate) async fn title(&self) -> anyhow::Result<String> {
        Ok(self.driver.title().await?)
    }

    /// The one element of a CSS selector, once the page has it.
    pub(crate) async fn element(&self, selector: &str) -> anyhow::Result<WebElement> {
        let looking = async {
            loop {
                let found = self.driver.find_all(By::Css(selector)).await?;
                match found.len() {
                    0 => tokio::time::sleep(LOOK_AGAIN).await,
                    _ => return anyhow::Ok(found),
                }
            }
        };
        let found = tokio::time::timeout(LOADS_WITHIN, looking).await;
        let mut found = match found {
            Ok(found) => found?,
            Err(_) => anyhow::bail!(
                "no {selector} at {}: {}",
                self.address().await?,
                self.text().await?
            ),
        };
        ensure!(found.len() == 1, "{} of {selector}", found.len());
        found.pop().context("no element")
    }

    /// Whether the page has such an element now.
    pub(crate) async fn has(&self, selector: &str) -> anyhow::Result<bool> {
        Ok(!self.driver.find_all(By::Css(selector)).await?.is_empty())
    }

    /// What a reader of the page sees.
    pub(crate) async fn text(&self) -> anyhow::Result<String> {
        loop {
            match self.driver.find(By::Css("body")).await?.text().await {
                Err(error) if is_stale(&error) => {}
                read => return Ok(read?),
            }
        }
    }

    /// Clicks the one element of a selector.
    pub(crate) async fn click(&self, selector: &str) -> anyhow::Result<()> {
        loop {
            match self.element(selector).await?.click().await {
                Err(error) if is_stale(&error) => {}
                clicked => return Ok(clicked?),
            }
        }
    }

    /// Fills in a field.
    pub(crate) async fn fill_in(&self, selector: &str, text: &str) -> anyhow::Result<()> {
        loop {
            let field = self.element(selector).await?;
            let filled = async {
                field.clear().await?;
                field.send_keys(text).await
            };
            match filled.await {
                Err(error) if is_stale(&error) => {}
                filled => return Ok(filled?),
            }
        }
    }

    /// Awaits an address that `arrived` accepts.
    pub(crate) async fn arrive(&self, arrived: impl Fn(&url::Url) -> bool) -> anyhow::Result<url::Url> {
        let looking = async {
            loop {
                let address = self.address().await?;
                if arrived(&address) {
                    return anyhow::Ok(address);
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        };
        match tokio::time::timeout(LOADS_WITHIN, looking).await {
            Ok(address) => address,
            Err(_) => anyhow::bail!("still at {}: {}", self.address().await?, self.text().await?),
        }
    }

    /// How much wider the page's content is than the window, CSS pixels.
    pub(crate) async fn overflow(&self) -> anyhow::Result<i64> {
        let metrics = self
            .driver
            .cdp()
            .send_raw("Page.getLayoutMetrics", json!({}))
            .await?;
        let width = |pointer: &str| {
            let width = metrics.pointer(pointer).and_then(serde_json::Value::as_f64);
            width.with_context(|| format!("no {pointer}"))
        };
        let content = width("/cssContentSize/width")?;
        let window = width("/cssLayoutViewport/clientWidth")?;
        #[expect(clippy::cast_possible_truncation, reason = "pixels of one screen")]
        let wider = (content - window).ceil() as i64;
        Ok(wider)
    }

    /// Whether the ground of the page is dark, by what the browser made of its styles.
    pub(crate) async fn is_dark(&self) -> anyhow::Result<bool> {
        let ground = self.driver.find(By::Css("body")).await?;
        let colour = ground.css_value("background-color").await?;
        let numbers = colour.split(|character: char| !character.is_ascii_digit());
        let channels: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).take(3).collect();
        ensure!(channels.len() == 3, "no colour: {colour}");
        Ok(channels.iter().sum::<u32>() < 3 * 64)
    }

    /// What the page and its policies complained of so far: errors and warnings of the console.
    pub(crate) async fn complaints(&self) -> anyhow::Result<Vec<String>> {
        let entries = self.driver.browser_log().await?;
        let complaints = entries
            .into_iter()
            .filter(|entry| ["SEVERE", "WARNING"].contains(&entry.level.as_str()))
            .map(|entry| format!("{} {}", entry.level, entry.message));
        Ok(complaints.collect())
    }

    /// Keeps a picture of the whole page in `target/browser`, for a person to look at.
    pub(crate) async fn picture(&self, name: &str) -> anyhow::Result<()> {
        let folder = tools::target_folder().join("browser");
        std::fs::create_dir_all(&folder)?;
        let parameters = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self
            .driver
            .cdp()
            .send_raw("Page.captureScreenshot", parameters)
            .await?;
        let data = picture["data"].as_str().context("no picture")?;
        Ok(std::fs::write(
            folder.join(format!("{name}.png")),
            STANDARD.decode(data)?,
        )?)
    }

    /// Ends the session, and with it the browser, which is a child of the driver and would outlive it.
    fn close(&self) -> std::io::Result<()> {
        let session = self.driver.handle().session_id();
        let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, self.driver_port))?;
        connection.set_read_timeout(Some(LOADS_WITHIN))?;
        write!(
            connection,
            "DELETE /session/{session} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        )?;
        connection.read(&mut [0; 64]).map(drop)
    }
}

impl Drop for Chromium {
    /// Without the runtime of the test, so that the browser ends where the test fails too.
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            eprintln!("a browser may be left: {error}");
        }
        // The library would end the session once more, and wait for the runtime that this blocks.
        let _ = self.driver.clone().leak();
    }
}

/// Whether the page was replaced between the look for an element and its use: another look finds the new one.
fn is_stale(error: &WebDriverError) -> bool {
    matches!(error.as_inner(), WebDriverErrorInner::StaleElementReference(_))
}
