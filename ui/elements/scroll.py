"""Bring a part of the page into view when something happens there: a search that starts, a result that arrives.

Only the browser can scroll, so an invisible component is told where to. Each request is obeyed once: a later run of
the page, or a return to it, leaves the reader where he is; so does any wheel, touch or key while the page moves.
"""

from __future__ import annotations

import streamlit as st

KEY = "scroll-request"  # in the session's state: (count, key of the container)

SCRIPT = """\
const SEEN = "lhScrolled", WITHIN = 2500, EVERY = 200, SMOOTH = 800 // ms

export default function ({ data }) {
  const page = document.documentElement
  if (!data || page.dataset[SEEN] === String(data.count)) return
  page.dataset[SEEN] = String(data.count)
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches
  const began = performance.now()
  let left = false, moved = false
  const leave = () => { left = true }
  for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"]) {
    addEventListener(kind, leave, { once: true, passive: true })
  }
  // Pictures and figures above and below arrive later and move the target: it is followed for a moment.
  const timer = setInterval(() => {
    const passed = performance.now() - began
    const target = document.querySelector(`.st-key-${data.target}`)
    if (left || passed > WITHIN) clearInterval(timer)
    else if (target && !moved) {
      moved = true
      target.scrollIntoView({ block: "start", behavior: still ? "auto" : "smooth" })
    } else if (target && passed > SMOOTH) target.scrollIntoView({ block: "start" })
  }, EVERY)
}
"""


def ask(target: str) -> None:
    """Scroll to the container with this key once the page is drawn."""
    count = st.session_state.get(KEY, (0, ""))[0]
    st.session_state[KEY] = (count + 1, target)


def follow() -> None:
    """Let the browser do what was asked for last; once a run, on pages that ask."""
    count, target = st.session_state.get(KEY, (0, ""))
    component = st.components.v2.component("latent_health_scroll", html="<span hidden></span>", js=SCRIPT)
    component(data={"count": count, "target": target} if count else None, key="scroll-follow")
