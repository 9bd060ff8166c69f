"use strict";
(() => {
  const event = JSON.parse(document.getElementById("event-data").textContent);
  const tooltip = document.getElementById("tooltip");
  const pointer = { x: 0, y: 0 };
  const voxels = mlrecoColumns.decodeAll(event.voxels);
  const positions = mlrecoColumns.places(event, voxels);
  const filterColumn = ["class_predicted", "class_used", "class_true"].find((name) => name in voxels);

  const state = { size: event.marker.size, hiddenClasses: new Set(), instance: null, shown: [], hovered: null, turn: 0, busy: false };

  function selectVoxels() {
    const shown = [];
    for (let i = 0; i < event.count; i++) {
      if (filterColumn && state.hiddenClasses.has(voxels[filterColumn][i])) continue;
      if (state.instance && voxels[state.instance.column][i] !== state.instance.position) continue;
      shown.push(i);
    }
    state.shown = shown;
  }

  function take(values) {
    if (state.shown.length === event.count) return values;
    return Float32Array.from(state.shown, (i) => values[i]);
  }

  function marker(column) {
    const common = { size: state.size, symbol: event.marker.symbol, line: { width: 0 }, opacity: 1 };
    if (column === "energy") {
      const scale = event.energy_scale;
      return { ...common, color: take(mlrecoColumns.logEnergies(event, voxels)), colorscale: mlrecoColumns.ENERGY_COLOURS,
        cmin: scale.low, cmax: scale.high, showscale: true,
        colorbar: { title: { text: "MeV", side: "top" }, tickvals: scale.ticks, ticktext: scale.labels,
          thickness: 12, len: 0.8, x: 1, xanchor: "right", outlinewidth: 0 } };
    }
    return { ...common, color: Array.from(state.shown, mlrecoColumns.colourOf(event, voxels, column)) };
  }

  function traces(scene) {
    const [x, y, z] = positions[scene.space].map(take);
    return [{ type: "scatter3d", mode: "markers", x, y, z, marker: marker(scene.colour), hoverinfo: "none" }];
  }

  function layout(scene) {
    const space = event.spaces[scene.space];
    const axis = (i) => ({ title: { text: space.titles[i], font: { size: 12 } }, range: space.ranges[i], autorange: false,
      backgroundcolor: "#f7f9fb", showbackground: true, gridcolor: "#d5dce3", zerolinecolor: "#d5dce3", linecolor: "#8794a1",
      showspikes: false, tickfont: { size: 10, color: "#5d6b7a" }, nticks: 6 });
    const extents = space.ranges.map(([low, high]) => high - low);
    const [ax, ay, az] = extents.map((extent) => 1.32 * extent / Math.hypot(...extents));
    return { margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      scene: { xaxis: axis(0), yaxis: axis(1), zaxis: axis(2), aspectmode: "manual", aspectratio: { x: ax, y: ay, z: az },
        dragmode: "orbit", camera: { eye: { x: 1.25, y: 0.75, z: 1.35 }, center: { x: 0, y: -0.04, z: 0 }, up: { x: 0, y: 1, z: 0 } } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#a3adb8", activecolor: "#1d2733" } };
  }

  const config = { displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["hoverClosest3d", "tableRotation", "resetCameraLastSave3d"],
    toImageButtonOptions: { format: "png", scale: 3 } };
  const panels = event.scenes.map((scene, i) => ({ scene, element: document.getElementById(`scene-${i}`) }));

  async function draw() {
    const turn = ++state.turn;
    selectVoxels();
    hideTooltip();
    document.getElementById("show-all").disabled = !state.instance;
    document.getElementById("shown").textContent =
      state.shown.length === event.count ? "" : `${state.shown.length.toLocaleString("en")} of ${event.count.toLocaleString("en")} voxels shown`;
    for (const { scene, element } of panels) {
      await new Promise(requestAnimationFrame);
      if (turn !== state.turn) return;
      await Plotly.react(element, traces(scene), element._fullLayout ? element.layout : layout(scene), config);
    }
  }

  function linkCamera(source) {
    return (change) => {
      const camera = change["scene.camera"];
      if (!camera || state.busy || !document.getElementById("linked").checked) return;
      state.busy = true;
      const others = panels.filter((panel) => panel !== source && panel.scene.space === source.scene.space);
      Promise.all(others.map((panel) => Plotly.relayout(panel.element, { "scene.camera": camera }))).finally(() => { state.busy = false; });
    };
  }

  function number(value, digits) {
    return Number.isFinite(value) ? Number(value).toPrecision(digits) : "undefined";
  }

  function describe(i) {
    const unit = event.spaces.image.unit;
    const rows = [["voxel", `${voxels.x[i]}, ${voxels.y[i]}, ${voxels.z[i]}`]];
    if (unit === "cm") rows.push(["position", positions.image.map((values) => values[i].toFixed(1)).join(", ") + " cm"]);
    if (voxels.energy) rows.push(["energy", number(voxels.energy[i], 3) + " MeV"]);
    const named = (value) => (value >= 0 && value < event.classes.length ? event.classes[value].name : "unknown");
    const numbered = (column, value) => (value >= 0 ? event.instances[column][value].number : "none");
    if (voxels.class_true) rows.push(["true class", named(voxels.class_true[i])]);
    if (voxels.class_predicted) rows.push(["predicted class", named(voxels.class_predicted[i])]);
    if (voxels.class_used) rows.push(["class", named(voxels.class_used[i])]);
    if (voxels.instance_true) rows.push(["true instance", numbered("instance_true", voxels.instance_true[i])]);
    if (voxels.instance_predicted) rows.push(["predicted instance", numbered("instance_predicted", voxels.instance_predicted[i])]);
    if (voxels.margins) rows.push(["margin", number(voxels.margins[i], 3)]);
    if (voxels.seediness) rows.push(["seediness", number(voxels.seediness[i], 3)]);
    return rows;
  }

  function showTooltip(i) {
    state.hovered = i;
    const table = document.createElement("table");
    for (const row of describe(i)) {
      const line = table.insertRow();
      for (const text of row) line.insertCell().textContent = text;
    }
    tooltip.replaceChildren(table);
    tooltip.style.display = "block";
    const box = tooltip.getBoundingClientRect();
    tooltip.style.left = `${Math.min(pointer.x + 16, window.innerWidth - box.width - 8)}px`;
    tooltip.style.top = `${Math.min(pointer.y + 16, window.innerHeight - box.height - 8)}px`;
  }

  function hideTooltip() {
    state.hovered = null;
    tooltip.style.display = "none";
  }

  function isolate(column, i) {
    if (!column.startsWith("instance") || voxels[column][i] < 0) return;
    state.instance = { column, position: voxels[column][i] };
    draw();
  }

  function listen({ scene, element }) {
    let pressed = null;
    element.on("plotly_hover", (data) => showTooltip(state.shown[data.points[0].pointNumber]));
    element.on("plotly_unhover", hideTooltip);
    element.addEventListener("mouseleave", hideTooltip);
    element.addEventListener("mousedown", (press) => {
      pressed = state.hovered === null ? null : { voxel: state.hovered, x: press.clientX, y: press.clientY };
    }, true);
    window.addEventListener("mouseup", (release) => {
      if (pressed && Math.hypot(release.clientX - pressed.x, release.clientY - pressed.y) < 4) isolate(scene.colour, pressed.voxel);
      pressed = null;
    }, true);
  }

  document.addEventListener("mousemove", (move) => { pointer.x = move.clientX; pointer.y = move.clientY; }, true);
  document.getElementById("show-all").addEventListener("click", () => { state.instance = null; draw(); });
  document.getElementById("size").addEventListener("input", (input) => {
    state.size = Number(input.target.value);
    panels.forEach(({ element }) => Plotly.restyle(element, { "marker.size": state.size }));
  });
  document.querySelectorAll("input[data-class]").forEach((box) => box.addEventListener("change", () => {
    const value = Number(box.dataset.class);
    if (box.checked) state.hiddenClasses.delete(value); else state.hiddenClasses.add(value);
    draw();
  }));

  draw().then(() => panels.forEach((panel) => {
    const link = linkCamera(panel);
    panel.element.on("plotly_relayouting", link);
    panel.element.on("plotly_relayout", link);
    listen(panel);
  }));
})();
