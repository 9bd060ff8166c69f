"use strict";
(() => {
  const parse = (id) => JSON.parse(document.getElementById(id).textContent);
  const config = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d"], plotlyServerURL: "",
    showSendToCloud: false, toImageButtonOptions: { format: "svg" } };
  for (const [name, figure] of Object.entries(parse("figures"))) {
    Plotly.newPlot(`figure-${name}`, figure.data, figure.layout, config);
  }
})();
