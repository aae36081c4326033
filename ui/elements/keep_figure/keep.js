// Buttons that keep the figure beside them as a picture, made here in the browser from what is on screen: Plotly draws
// several SVG layers one over the other; they are put into one, on white.

const SVG = "http://www.w3.org/2000/svg"
const SCALE = 3 // pixels of the PNG for one on screen: 300 dpi at a printed width of about 20 cm
const LEFT_OUT = ".modebar, .hoverlayer, .zoomlayer, .drag"

const PATIENCE = 30000 // ms that a click waits for a figure whose library is still on its way to the browser

export default function ({ data, parentElement }) {
  const { dataset } = parentElement.querySelector(".keep")
  const said = parentElement.querySelector(".said")
  const buttons = [...parentElement.querySelectorAll("button")]
  for (const button of buttons) {
    button.onclick = async () => {
      dataset.busy = "yes"
      for (const each of buttons) each.disabled = true
      said.textContent = "Making the picture …"
      try {
        await keep(button.dataset.kind, data)
        said.textContent = ""
      } catch {
        said.textContent = "The picture could not be made."
      } finally {
        delete dataset.busy
        for (const each of buttons) each.disabled = false
      }
    }
    button.disabled = "busy" in dataset // off in the HTML: a click before this would be lost
  }
}

const nextFrame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)))

async function figureAt(place) {
  const until = performance.now() + PATIENCE
  for (;;) {
    await nextFrame() // also lets the words above be painted
    const drawn = document.querySelector(`.st-key-${CSS.escape(place)} .js-plotly-plot .svg-container`)
    if (drawn?.querySelector("svg.main-svg")) return drawn
    if (performance.now() > until) throw new Error("no figure")
  }
}

async function keep(kind, { place, name, paper, swaps }) {
  const drawn = await figureAt(place)
  const { picture, width, height } = merge(drawn, paper)
  const drawnAs = new XMLSerializer().serializeToString(picture)
  const text = `<?xml version="1.0" encoding="UTF-8"?>\n${inPrintColours(drawnAs, swaps)}`
  const vector = new Blob([text], { type: "image/svg+xml;charset=utf-8" })
  offer(kind === "svg" ? vector : await raster(vector, width, height), `${name}.${kind}`)
}

// A picture is for paper: what was drawn for a dark page gets the colours of the light one.
function inPrintColours(text, swaps) {
  const rgb = hex => [1, 3, 5].map(at => parseInt(hex.slice(at, at + 2), 16)).join(", ")
  return swaps.reduce((changed, [from, to]) => changed.replaceAll(rgb(from), rgb(to)), text)
}

function merge(drawn, paper) {
  const box = drawn.getBoundingClientRect()
  const width = Math.round(box.width)
  const height = Math.round(box.height)
  const picture = document.createElementNS(SVG, "svg")
  for (const [key, value] of Object.entries({ width, height, viewBox: `0 0 ${width} ${height}` })) {
    picture.setAttribute(key, value)
  }
  const ground = document.createElementNS(SVG, "rect")
  for (const [key, value] of Object.entries({ width, height, fill: paper })) ground.setAttribute(key, value)
  picture.appendChild(ground)
  for (const layer of drawn.querySelectorAll("svg.main-svg")) {
    const copy = layer.cloneNode(true)
    copy.querySelectorAll(LEFT_OUT).forEach(part => part.remove())
    copy.style.background = "none"
    copy.removeAttribute("class")
    picture.appendChild(copy)
  }
  return { picture, width, height }
}

async function raster(vector, width, height) {
  const address = URL.createObjectURL(vector)
  try {
    const image = new Image()
    await new Promise((done, failed) => {
      image.onload = done
      image.onerror = failed
      image.src = address
    })
    const canvas = document.createElement("canvas")
    canvas.width = SCALE * width
    canvas.height = SCALE * height
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height)
    return await new Promise((done, failed) => canvas.toBlob(made => (made ? done(made) : failed()), "image/png"))
  } finally {
    URL.revokeObjectURL(address)
  }
}

function offer(blob, name) {
  const link = document.createElement("a")
  link.href = URL.createObjectURL(blob)
  link.download = name
  document.body.appendChild(link)
  link.click()
  link.remove()
  setTimeout(() => URL.revokeObjectURL(link.href), 10000)
}
