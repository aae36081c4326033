"""Times taken inside the page: from a click to the moment after which nothing moves, and from a slider to its frame."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PATIENCE = 300_000  # ms, for a job
PAGE_PATIENCE = 120_000  # ms, for a page
QUIET = 600  # ms without a change, the script at rest: the page is complete
AFTER_PAINT = (
    "const painted = done => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(0) }"
)
# Watches from the first script of a page on: when it last changed, and the longest time in which nothing did.
WATCH = """
  const state = window.bench = { begin: performance.now(), last: performance.now(), still: 0, ran: false }
  const moved = () => {
    const now = performance.now()
    state.still = Math.max(state.still, now - state.last)
    state.last = now
  }
  window.benchStart = () => {
    addEventListener("pointerdown", () => {
      Object.assign(state, { begin: performance.now(), last: performance.now(), still: 0, ran: false })
    }, { capture: true, once: true })
  }
  new MutationObserver(records => {
    // A short run may begin and end between two paintings: whatever changes after the press is a sign of it, too. The
    // state leaves "notRunning" with the request, so a page that waits for the server is not taken for complete.
    const main = r => r.type === "attributes" || r.target.parentElement?.closest("[data-testid=stMain]")
    if (records.some(main)) { moved(); state.ran = true }
  }).observe(document, {
    subtree: true, childList: true, characterData: true, attributes: true,
    attributeFilter: ["data-test-script-state"]
  })
  addEventListener("load", e => { if (e.target.tagName === "IMG") moved() }, true)
"""
COMPLETE = """quiet => {
  const app = document.querySelector("[data-testid=stApp]")
  return app?.dataset.testScriptState === "notRunning" && window.bench.ran
    && performance.now() - window.bench.last > quiet
    && !document.querySelector("[data-testid=stSkeleton]")
    && [...document.images].every(image => image.complete)
}"""
SCRUB = (
    "(root, index) => new Promise(done => {"
    + AFTER_PAINT
    + """
  const range = root.querySelector("input[type=range]")
  const begin = performance.now()
  range.value = index
  range.dispatchEvent(new Event("input", { bubbles: true }))
  const look = () => requestAnimationFrame(() => {
    if (root.dataset.frame === String(index)) painted(() => done(performance.now() - begin))
    else look()
  })
  look()
})"""
)
WATCH_PICTURE = (
    "() => { "
    + AFTER_PAINT
    + """
  window.benchTime = new Promise(done => {
    let begin = 0
    document.addEventListener("keydown", () => { begin = performance.now() }, { capture: true, once: true })
    const picture = document.querySelector("[data-testid=stImage] img")
    const watch = new MutationObserver(async () => {
      watch.disconnect()
      await picture.decode()
      requestAnimationFrame(() => painted(() => done(performance.now() - begin)))
    })
    watch.observe(picture, { attributes: true, attributeFilter: ["src"] })
  })
}"""
)


def open_page(browser: Browser, address: str) -> Page:
    """A new session on that address, watched from its first script on."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.add_init_script(WATCH)
    page.goto(address)
    return page


def wait_complete(page: Page) -> float:
    """Waits until the script rests and nothing has changed for a while; time.perf_counter() of the last change."""
    page.wait_for_function(COMPLETE, arg=QUIET, polling=50, timeout=PAGE_PATIENCE)
    since = float(page.evaluate("() => performance.now() - window.bench.last")) / 1000
    return time.perf_counter() - since


def click_seconds(page: Page, control: Locator) -> float:
    """Seconds from the press on a control to the last change that the run brings."""
    page.evaluate("() => window.benchStart()")
    control.click()
    page.wait_for_function(COMPLETE, arg=QUIET, polling=50, timeout=PAGE_PATIENCE)
    return float(page.evaluate("() => window.bench.last - window.bench.begin")) / 1000


def longest_still(page: Page) -> float:
    """Seconds, the longest time since the last `benchStart` in which nothing in the page's main part changed."""
    return float(page.evaluate("() => window.bench.still")) / 1000
