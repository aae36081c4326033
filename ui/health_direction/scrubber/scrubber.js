// Face, numbers and survival curve move together here, in the browser; the server is told only where the slider came
// to rest. The payload: uint32 length of a JSON header (little endian), the header, then the frames back to back.

const SVG = "http://www.w3.org/2000/svg"
const PLAY_SECONDS = 4 // one sweep from end to end
const COMMIT_AFTER = 250 // ms of rest before the server hears of a new position
const HEAT_FULL = 0.25 // a mean difference of a quarter of the grey range gets the full colour
const TICK_STEPS = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01] // log-HR between two marks under the histogram
const HEAT_STOPS = [[38, 22, 66], [178, 58, 78], [244, 150, 70], [255, 236, 170]]
const views = new WeakMap()

export default function (component) {
  const { data, parentElement, setStateValue } = component
  let view = views.get(parentElement)
  if (!view) {
    view = new View(parentElement)
    views.set(parentElement, view)
  }
  view.tell = (index, count) => setStateValue("place", { index, count })
  view.load(data)
  return () => {
    view.close()
    views.delete(parentElement)
  }
}

function unpack(data) {
  const bytes = data instanceof Uint8Array ? data : new Uint8Array(data)
  const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)))
  let start = 4 + length
  const frames = header.frame_bytes.map(size => {
    const part = bytes.slice(start, start + size)
    start += size
    return new Blob([part], { type: header.mime })
  })
  return { header, frames }
}

function element(name, attributes, parent, text) {
  const made = document.createElementNS(SVG, name)
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
  if (text !== undefined) made.textContent = text
  parent.appendChild(made)
  return made
}

const signed = (value, digits) => (value < 0 ? "\u2212" : "+") + Math.abs(value).toFixed(digits)
const ratio = value => "\u00d7\u2009" + value.toFixed(value >= 9.995 ? 1 : value >= 0.9995 ? 2 : 3)
const place = value => value < 0.5 ? "<\u20091" : value >= 99.5 ? ">\u200999" : value.toFixed(0) // a percentile
function percent(value) { // a modelled probability is never written as 0 % or 100 %, as in the report
  if (value === null) return "\u2013"
  if (value < 0.01) return "<\u20091\u2009%"
  if (value > 0.99) return ">\u200999\u2009%"
  return (100 * value).toFixed(0) + "\u2009%"
}

// [first, last] of every run that is not 0.
function spans(flags) {
  const found = []
  flags.forEach((flag, i) => {
    if (flag && flags[i - 1]) found.at(-1)[1] = i
    else if (flag) found.push([i, i])
  })
  return found
}

function heatColour(share) {
  const place = Math.min(share, 0.9999) * (HEAT_STOPS.length - 1)
  const low = HEAT_STOPS[Math.floor(place)]
  const high = HEAT_STOPS[Math.floor(place) + 1]
  return low.map((value, channel) => value + (high[channel] - value) * (place % 1))
}

class View {
  constructor(parent) {
    this.root = parent.querySelector(".scrubber")
    const find = name => this.root.querySelector(name)
    this.picture = find(".picture")
    this.context = this.picture.getContext("2d")
    this.range = find("input")
    this.parts = {
      tag: find(".tag"), caption: find(".caption"), legend: find(".legend"), legendTop: find(".legend-top"),
      ramp: find(".ramp"), numbers: find(".numbers"), leftOut: find(".left-out"), curveTitle: find(".curve-title"), curve: find(".curve-plot"),
      placeTitle: find(".place-title"), place: find(".place-plot"), label: find(".track-label"), ticks: find(".ticks"), outside: find(".outside"),
      play: find(".play"), reset: find(".reset"), compare: find(".compare"), difference: find(".difference"),
    }
    this.id = null
    this.seek = null
    this.index = 0
    this.held = false
    this.heat = false
    this.playing = null
    this.pending = 0
    this.timer = 0
    this.loading = 0
    this.bitmaps = []
    this.ink = this.range.getRootNode()
    this.wire()
    this.observer = new ResizeObserver(() => { if (this.header) { this.layOut(); this.paint() } })
    this.observer.observe(this.parts.curve)
  }

  wire() {
    const { play, reset, compare, difference } = this.parts
    this.range.oninput = () => { this.stop(); this.go(Number(this.range.value)) }
    this.range.onchange = () => this.commit()
    play.onclick = () => (this.playing ? this.stop(true) : this.start())
    reset.onclick = () => { this.stop(); this.go(this.header.origin); this.commit() }
    const hold = on => () => { this.held = on; this.request() }
    compare.onpointerdown = hold(true)
    compare.onpointerup = compare.onpointerleave = compare.onpointercancel = compare.onblur = hold(false)
    compare.onkeydown = event => { if (event.key === " " || event.key === "Enter") { event.preventDefault(); hold(true)() } }
    compare.onkeyup = hold(false)
    difference.onclick = () => {
      this.heat = !this.heat
      difference.setAttribute("aria-pressed", String(this.heat))
      difference.textContent = this.heat ? "Show face" : "Show difference"
      this.parts.legend.hidden = !this.heat
      this.request()
    }
    const stops = [0, 1, 2, 3].map(i => `rgb(${HEAT_STOPS[i].join(" ")}) ${Math.round((100 * i) / 3)}%`)
    this.parts.ramp.style.background = `linear-gradient(90deg, ${stops.join(", ")})`
    this.parts.legendTop.textContent = `\u2265\u2009${100 * HEAT_FULL}\u2009% of the grey range`
  }

  async load(data) {
    const { header, frames } = unpack(data)
    if (header.id === this.id) {
      this.header.seek = header.seek
      if (header.seek.count !== this.seek) this.moveTo(header.seek)
      else this.request()
      return
    }
    this.stop()
    this.id = header.id
    const ticket = ++this.loading
    const bitmaps = await Promise.all(frames.map(frame => createImageBitmap(frame)))
    if (ticket !== this.loading) return
    for (const old of this.bitmaps) old.close()
    this.bitmaps = bitmaps
    this.header = header
    this.base = null
    this.picture.width = this.picture.height = Math.max(512, bitmaps[0].width)
    this.range.max = header.log_hr.length - 1
    this.build()
    this.layOut()
    this.moveTo(header.seek)
    this.root.dataset.ready = header.id
  }

  moveTo(seek) {
    this.seek = seek.count
    clearTimeout(this.timer)
    this.stop()
    this.go(seek.index)
  }

  build() {
    const { header, parts } = this
    parts.caption.textContent = header.caption
    parts.curveTitle.textContent = header.curve_title
    parts.placeTitle.textContent = header.place_title
    parts.label.replaceChildren(...["low_end", "middle", "high_end"].map(key => {
      const span = document.createElement("span")
      span.textContent = header.track[key]
      return span
    }))
    const last = header.log_hr.length - 1
    parts.outside.replaceChildren(...spans(header.extrapolated).map(([from, to]) => {
      const mark = document.createElement("i")
      // Half a step to either side, on the way of the knob's centre, 10 px off the ends of the rail.
      const at = index => `calc(10px + (100% - 20px) * ${Math.min(Math.max(index / last, 0), 1)})`
      mark.style.left = from === 0 ? "0" : at(from - 0.5)
      mark.style.right = to === last ? "0" : `calc(100% - ${at(to + 0.5)})`
      return mark
    }))
    parts.ticks.replaceChildren(...header.ticks.map(tick => {
      const span = document.createElement("span")
      span.style.left = `${(100 * tick.index) / last}%`
      span.textContent = tick.label
      span.className = tick.index === header.origin ? "origin" : tick.major ? "" : "minor"
      return span
    }))
    const rows = [
      { key: "step", label: "Hazard ratio vs. start", lead: true },
      { key: "score", label: "Log hazard ratio" },
      { key: "percentile", label: "Percentile of risk" },
      ...header.horizons.map((time, i) => ({ key: `s${i}`, label: `Survival, ${time} ${header.time_unit}` })),
    ]
    parts.leftOut.textContent = header.left_out
    this.cells = {}
    parts.numbers.replaceChildren(...rows.map(row => {
      const box = document.createElement("div")
      box.className = row.lead ? "lead" : ""
      const term = document.createElement("dt")
      term.textContent = row.label
      const value = document.createElement("dd")
      const big = document.createElement("span")
      big.className = "value"
      const note = document.createElement("span")
      note.className = "note"
      value.append(big, note)
      box.append(term, value)
      this.cells[row.key] = { big, note }
      return box
    }))
  }

  layOut() {
    this.layOutCurve()
    this.layOutPlace()
  }

  layOutCurve() {
    const { header } = this
    const svg = this.parts.curve
    const width = svg.clientWidth || 480
    const height = svg.clientHeight || 248
    const left = 44, right = 104, top = 6, bottom = 40
    const last = header.times[header.times.length - 1]
    const x = time => left + ((width - left - right) * time) / last
    const y = share => top + (height - top - bottom) * (1 - share)
    const path = values => values
      .map((v, i) => (v === null ? "" : `${i && values[i - 1] !== null ? "L" : "M"}${x(header.times[i]).toFixed(1)} ${y(v).toFixed(1)}`)).join("")
    svg.replaceChildren()
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    svg.setAttribute("aria-label", header.curve_alt)
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      element("line", { class: "grid", x1: left, x2: width - right, y1: y(share), y2: y(share) }, svg)
      element("text", { class: "tick", x: left - 7, y: y(share) + 4, "text-anchor": "end" }, svg, `${100 * share}\u2009%`)
    }
    for (const time of header.time_ticks) {
      element("line", { class: "axis", x1: x(time), x2: x(time), y1: y(0), y2: y(0) + 5 }, svg)
      element("text", { class: "tick", x: x(time), y: y(0) + 18, "text-anchor": "middle" }, svg, time)
    }
    element("text", { class: "axis-title", x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }, svg, header.time_title)
    const labels = header.cohort.map((group, i) => {
      element("path", { class: `cohort q${i}`, d: path(group.values) }, svg)
      return { text: group.label, name: `q${i}`, at: y(group.values.filter(v => v !== null).pop() ?? 0) + 4 }
    })
    labels.sort((a, b) => a.at - b.at).forEach((label, i) => {
      if (i && label.at < labels[i - 1].at + 14) label.at = labels[i - 1].at + 14
      element("text", { class: `cohort-label ${label.name}`, x: width - right + 8, y: label.at }, svg, label.text)
    })
    if (header.limits) {
      const { low, high } = header.limits
      const edge = (values, order) => order
        .filter(i => values[i] !== null && low[i] !== null && high[i] !== null)
        .map(i => `${x(header.times[i]).toFixed(1)} ${y(values[i]).toFixed(1)}`)
      const order = [...header.times.keys()]
      const outline = [...edge(high, order), ...edge(low, order.reverse())]
      if (outline.length) element("path", { class: "start-band", d: `M${outline.join("L")}Z` }, svg)
    }
    element("path", { class: "start-curve", d: path(header.curves[header.origin]) }, svg)
    element("text", { class: "beyond-words", x: width, y: top + 14, "text-anchor": "end" }, svg, header.extrapolated_words)
    this.curve = element("path", { class: "this-curve" }, svg)
    this.paths = header.curves.map(path)
  }

  layOutPlace() {
    const { header } = this
    const svg = this.parts.place
    const width = svg.clientWidth || 480
    const height = svg.clientHeight || 74
    const left = 2, right = 50, base = height - 24
    const { edges, counts } = header.histogram
    const low = Math.min(edges[0], ...header.score), high = Math.max(edges[edges.length - 1], ...header.score)
    const x = value => left + ((width - left - right) * (value - low)) / (high - low)
    const most = Math.max(...counts, 1)
    svg.replaceChildren()
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`)
    svg.setAttribute("aria-label", header.place_alt)
    counts.forEach((count, i) => {
      const tall = ((base - 4) * count) / most
      element("rect", { class: "bar", x: x(edges[i]) + 0.5, width: Math.max(x(edges[i + 1]) - x(edges[i]) - 1, 0.5), y: base - tall, height: tall }, svg)
    })
    element("line", { class: "axis", x1: left, x2: width - right, y1: base, y2: base }, svg)
    const step = TICK_STEPS.find(candidate => (high - low) / candidate >= 2) ?? TICK_STEPS.at(-1)
    const digits = Math.max(0, -Math.floor(Math.log10(step)))
    for (let i = Math.ceil(low / step); i * step <= high; i++) {
      const value = i * step
      element("line", { class: "axis", x1: x(value), x2: x(value), y1: base, y2: base + 4 }, svg)
      const anchor = x(value) < 18 ? "start" : "middle"
      element("text", { class: "tick", x: x(value), y: base + 17, "text-anchor": anchor }, svg, i === 0 ? "median" : signed(value, digits))
    }
    element("text", { class: "axis-title", x: width - right + 8, y: base + 17 }, svg, "log-HR")
    element("line", { class: "start-marker", x1: x(header.score[header.origin]), x2: x(header.score[header.origin]), y1: 0, y2: base }, svg)
    this.marker = element("line", { class: "marker", y1: 0, y2: base + 3 }, svg)
    this.markerAt = header.score.map(x)
  }

  go(index) {
    this.index = Math.min(Math.max(index, 0), this.bitmaps.length - 1)
    this.request()
  }

  request() {
    if (this.pending) return
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.paint() })
  }

  paint() {
    const { header, parts, cells } = this
    if (!header || !this.bitmaps.length) return
    const shown = this.held ? header.origin : this.index
    const size = this.picture.width
    if (this.heat && !this.held) this.paintHeat(shown)
    else this.context.drawImage(this.bitmaps[shown], 0, 0, size, size)
    const start = header.origin
    const step = Math.exp(header.log_hr[shown])
    const beyond = header.extrapolated[shown] !== 0
    const note = words => (beyond ? "extrapolated" : words)
    this.root.classList.toggle("beyond", beyond)
    parts.tag.textContent = (shown === start ? "start" : `risk ${ratio(step)}`) + (beyond ? ", extrapolated" : "")
    cells.step.big.textContent = ratio(step)
    cells.step.note.textContent = `log ${signed(header.log_hr[shown], 2)}`
    cells.score.big.textContent = signed(header.score[shown], 2)
    const bare = value => percent(value).replace("\u2009%", "")
    const within = (limits, write) => (limits ? ` (${write(limits[0])}\u2013${write(limits[1])})` : "")
    cells.score.note.textContent = note(`0 is typical, start ${signed(header.score[start], 2)}`)
    cells.percentile.big.textContent = place(header.percentile[shown])
    cells.percentile.note.textContent = note(`${header.limits ? "" : "of 100, "}start ${place(header.percentile[start])}${within(header.limits?.percentile, place)}`)
    header.horizons.forEach((_, i) => {
      cells[`s${i}`].big.textContent = percent(header.survival[shown][i])
      cells[`s${i}`].note.textContent = note(`start ${percent(header.survival[start][i])}${within(header.limits?.survival[i], bare)}`)
    })
    this.curve.setAttribute("d", this.paths[shown])
    this.marker.setAttribute("x1", this.markerAt[shown])
    this.marker.setAttribute("x2", this.markerAt[shown])
    const spoken = `hazard ratio ${step.toFixed(2)} compared with the start, log hazard ratio ${header.score[shown].toFixed(2)} compared with the typical patient, percentile ${place(header.percentile[shown])}${beyond ? ", extrapolated" : ""}`
    this.picture.setAttribute("aria-label", `${header.alt}; ${this.heat && !this.held ? "difference from the start; " : ""}${spoken}`)
    this.range.value = this.index
    this.range.setAttribute("aria-label", "Step along the health direction, as a hazard ratio to the start")
    this.range.setAttribute("aria-valuetext", spoken)
    this.root.dataset.frame = shown
  }

  pixels(index) {
    const side = this.bitmaps[index].width
    if (!this.scratch || this.scratch.width !== side) {
      this.scratch = new OffscreenCanvas(side, side)
      this.scratchContext = this.scratch.getContext("2d", { willReadFrequently: true })
    }
    this.scratchContext.drawImage(this.bitmaps[index], 0, 0)
    return this.scratchContext.getImageData(0, 0, side, side)
  }

  paintHeat(index) {
    this.base ??= this.pixels(this.header.origin).data
    const image = this.pixels(index)
    const now = image.data, base = this.base
    for (let i = 0; i < now.length; i += 4) {
      const change = (Math.abs(now[i] - base[i]) + Math.abs(now[i + 1] - base[i + 1]) + Math.abs(now[i + 2] - base[i + 2])) / 765
      const share = Math.min(change / HEAT_FULL, 1)
      const grey = 0.16 * (now[i] + now[i + 1] + now[i + 2])
      const colour = heatColour(share)
      const weight = Math.min(1, share * 3)
      for (let c = 0; c < 3; c++) now[i + c] = grey * (1 - weight) + colour[c] * weight
    }
    this.scratchContext.putImageData(image, 0, 0)
    this.context.drawImage(this.scratch, 0, 0, this.picture.width, this.picture.height)
  }

  start() {
    const count = this.bitmaps.length
    if (count < 2) return
    this.parts.play.textContent = "Pause"
    this.parts.play.setAttribute("aria-pressed", "true")
    const perFrame = (1000 * PLAY_SECONDS) / (count - 1)
    let ahead = this.index >= count - 1 ? -1 : 1
    let due = performance.now() + perFrame
    const turn = now => {
      if (now >= due) {
        due = now + perFrame
        if (this.index + ahead < 0 || this.index + ahead >= count) ahead = -ahead
        this.index += ahead
        this.paint()
      }
      this.playing = requestAnimationFrame(turn)
    }
    this.playing = requestAnimationFrame(turn)
  }

  stop(tell = false) {
    if (!this.playing) return
    cancelAnimationFrame(this.playing)
    this.playing = null
    this.parts.play.textContent = "Play"
    this.parts.play.setAttribute("aria-pressed", "false")
    if (tell) this.commit()
  }

  commit() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.tell(this.index, this.seek), COMMIT_AFTER)
  }

  close() {
    this.stop()
    clearTimeout(this.timer)
    cancelAnimationFrame(this.pending)
    this.observer.disconnect()
    for (const bitmap of this.bitmaps) bitmap.close()
    this.bitmaps = []
  }
}
