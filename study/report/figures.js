// Draws every figure of the page from the JSON beside it, and again at the width of the paper when it is printed.
(function () {
  "use strict";
  const settings = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const plots = [];
  document.querySelectorAll("figure.drawn").forEach(function (figure) {
    const holder = figure.querySelector(".plot");
    const drawn = JSON.parse(figure.querySelector("script").textContent);
    Plotly.newPlot(holder, drawn.data, drawn.layout, settings);
    plots.push(holder);
  });
  function resize(width) {
    plots.forEach(function (holder) {
      Plotly.relayout(holder, width ? { width: width, autosize: false } : { width: null, autosize: true });
    });
  }
  window.addEventListener("beforeprint", function () { resize(660); });
  window.addEventListener("afterprint", function () { resize(null); });
})();
