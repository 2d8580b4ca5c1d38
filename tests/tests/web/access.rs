//! Who may see the page on another address than this machine's own.

use rivulet_tests::{Browser, wait};

use super::{ENTER, open, scenario};

#[test]
fn whoever_asks_from_elsewhere_gives_the_token() {
    let scenario = scenario();
    scenario.write("targets.json", "[]");
    scenario.write("token", "0123456789abcdef-secret\n");
    let options = ["--listen", "0.0.0.0:0", "--token-file", "token"];
    let (mut web, url) = open(&scenario, &options);
    let (page, token) = url
        .split_once("?token=")
        .expect("the address has the token");
    assert_eq!(token, "0123456789abcdef-secret");
    let browser = Browser::start();
    browser.emulate(360, 640, false);
    browser.open(page);
    assert_eq!(browser.text("h1"), "A token, please");
    assert_eq!(browser.barriers(), Vec::<String>::new());
    browser.screenshot("web-token");
    browser.type_into("#token", "0123456789abcdef-guess");
    browser.type_into("#token", ENTER);
    wait::until_true("another token is refused", || {
        browser.text("[role=alert]") == "That is another token."
    });
    browser.type_into("#token", token);
    browser.type_into("#token", ENTER);
    wait::until_true("the page is shown", || browser.text("#state") == "Live");
    let address = browser.run("return location.href");
    assert!(!address.to_string().contains("token"), "{address}");
    assert_eq!(browser.run("return document.cookie"), "");
    wait::until_true("the page waits for readings", || {
        browser
            .text("#waiting")
            .starts_with("Waiting for readings on ")
    });
    assert_eq!(browser.violations(), Vec::<String>::new());
    web.stop();
}

#[test]
fn a_short_token_is_an_error_with_a_way_out() {
    let scenario = scenario();
    scenario.write("token", "secret\n");
    let error = scenario.rivulet(&["web", "--token-file", "token"]).fails();
    assert!(
        error.contains("at least 16 characters") && error.contains("openssl"),
        "{error}"
    );
}
