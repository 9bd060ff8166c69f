"use strict";
/* The panels of one event: voxels, what is under the pointer, which voxels are shown, cameras. */
const mlrecoDisplay = (() => {
  const tooltip = document.getElementById("tooltip");
  const pointer = { x: 0, y: 0 };
  const state = { size: null, hiddenClasses: new Set(), instance: null, errors: false, points: false, shown: [], hovered: null,
    turn: 0, busy: false };
  let event = null, voxels = null, positions = null, filterColumn = null, wrong = null, panels = [];

  const BAR = 52, TITLES = 75, MOST_REVIVALS = 5, PAPER = 700;
  const byId = (id) => document.getElementById(id);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function load(document_) {
    event = document_;
    voxels = mlrecoColumns.decodeAll(event.voxels);
    positions = mlrecoColumns.places(event, voxels);
    filterColumn = ["class_predicted", "class_used", "class_true"].find((name) => name in voxels);
    wrong = wrongVoxels();
    state.instance = null;
    byId("size").value = state.size = event.marker.size;
    byId("errors-box").hidden = !wrong;
    byId("points-box").hidden = !event.points.length;
    for (const card of document.querySelectorAll(".card[data-scene]")) {
      card.hidden = !event.scenes.some((scene) => scene.key === card.dataset.scene);
    }
    panels = event.scenes.map((scene) => ({ scene, element: byId(`scene-${scene.key}`) }));
    return draw(true);
  }

  /* 1 where the predicted class is not the true one, or the predicted instance not the one that stands for the true one:
     these two have the same colour. Voxels without a true instance have no right answer. */
  function wrongVoxels() {
    const { class_true: classTrue, class_predicted: classFound, instance_true: instanceTrue, instance_predicted: instanceFound } = voxels;
    if (!(classTrue && classFound) && !(instanceTrue && instanceFound)) return null;
    const colour = (column, i) => (voxels[column][i] >= 0 ? event.instances[column][voxels[column][i]].colour : null);
    return Uint8Array.from({ length: event.count }, (_, i) => Number(
      (classTrue && classFound && classTrue[i] >= 0 && classTrue[i] !== classFound[i])
      || (instanceTrue && instanceFound && instanceTrue[i] >= 0 && colour("instance_true", i) !== colour("instance_predicted", i))));
  }

  function selectVoxels() {
    const shown = [];
    for (let i = 0; i < event.count; i++) {
      if (filterColumn && state.hiddenClasses.has(voxels[filterColumn][i])) continue;
      if (state.instance && voxels[state.instance.column][i] !== state.instance.position) continue;
      if (state.errors && wrong && !wrong[i]) continue;
      shown.push(i);
    }
    state.shown = shown;
  }

  function take(values) {
    return state.shown.length === event.count ? values : Float32Array.from(state.shown, (i) => values[i]);
  }

  function marker(column) {
    const common = { size: state.size, symbol: event.marker.symbol, line: { width: 0 }, opacity: 1 };
    if (column !== "energy") return { ...common, color: Array.from(state.shown, mlrecoColumns.colourOf(event, voxels, column)) };
    const scale = event.energy_scale;
    return { ...common, color: take(mlrecoColumns.logEnergies(event, voxels)), colorscale: document.documentElement.dataset.theme === "dark" ? mlrecoColumns.ENERGY_ON_DARK : mlrecoColumns.ENERGY_COLOURS,
      cmin: scale.low, cmax: scale.high, showscale: true,
      colorbar: { title: { text: "MeV", side: "top" }, tickvals: scale.ticks, ticktext: scale.labels, thickness: 10, len: 0.78,
        x: 1.01, xanchor: "left", y: 0.02, yanchor: "bottom", outlinewidth: 0, tickfont: { size: 10, color: style("--soft") } } };
  }

  function traces(scene) {
    const [x, y, z] = positions[scene.space].map(take);
    const found = [
      { type: "scatter3d", mode: "markers", x, y, z, marker: marker(scene.colour), hoverinfo: "none" },
      { type: "scatter3d", mode: "markers", x: [], y: [], z: [], hoverinfo: "skip", visible: false,
        marker: { size: state.size + 2.5, color: style("--ink"), opacity: 0.9, line: { width: 0 } } },
    ];
    if (scene.space === "image" && state.points) {
      for (const kind of ["start", "end"]) {
        const points = event.points.filter((point) => point.kind === kind);
        found.push({ type: "scatter3d", mode: "markers", hoverinfo: "text", text: points.map((point) => `${kind} of particle ${point.particle}`),
          x: points.map((p) => p.at[0]), y: points.map((p) => p.at[1]), z: points.map((p) => p.at[2]),
          marker: kind === "start" ? { size: 5, symbol: "diamond-open", color: style("--start") } : { size: 6, symbol: "cross", color: style("--end") } });
      }
    }
    return found;
  }

  /* Edges of the box of a scene; smaller where the panel is narrow, so that the titles of the axes stay in it. */
  function aspect(scene) {
    const element = byId(`scene-${scene.key}`);
    const width = element.clientWidth - (scene.colour === "energy" ? BAR : 0);
    const factor = 1.3 * Math.min(1, Math.max(0.4, 1.06 * (width - TITLES) / (element.clientHeight || 1)));
    const extents = event.spaces[scene.space].ranges.map(([low, high]) => high - low);
    const [x, y, z] = extents.map((extent) => factor * extent / Math.hypot(...extents));
    return { x, y, z };
  }

  function layout(scene) {
    const space = event.spaces[scene.space];
    const axis = (i) => ({ title: { text: space.titles[i], font: { size: 11, color: style("--ink") } }, range: space.ranges[i], autorange: false,
      backgroundcolor: style("--scene"), showbackground: true, gridcolor: style("--grid"), zerolinecolor: style("--grid"),
      linecolor: style("--soft"), showspikes: false, tickfont: { size: 9, color: style("--soft") }, nticks: 5 });
    return { margin: { l: 0, r: scene.colour === "energy" ? BAR : 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false,
      hovermode: "closest", font: { color: style("--ink") },
      scene: { xaxis: axis(0), yaxis: axis(1), zaxis: axis(2), aspectmode: "manual", aspectratio: aspect(scene),
        dragmode: "orbit", camera: { eye: { x: 1.35, y: 0.8, z: 1.45 }, center: { x: 0, y: -0.06, z: 0 }, up: { x: 0, y: 1, z: 0 } } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: style("--faint"), activecolor: style("--ink") } };
  }

  const config = { displaylogo: false, responsive: true, showSendToCloud: false, plotlyServerURL: "",
    modeBarButtonsToRemove: ["hoverClosest3d", "tableRotation", "resetCameraLastSave3d"],
    toImageButtonOptions: { format: "png", scale: 3 } };

  async function draw(fresh = false) {
    const turn = ++state.turn;
    selectVoxels();
    hideTooltip();
    byId("show-all").disabled = !state.instance;
    byId("shown").textContent =
      state.shown.length === event.count ? "" : `${state.shown.length.toLocaleString("en")} of ${event.count.toLocaleString("en")} voxels shown`;
    for (const panel of panels) {
      await new Promise(requestAnimationFrame);
      if (turn !== state.turn) return;
      const { scene, element } = panel;
      const isNew = !element._fullLayout;
      await Plotly.react(element, traces(scene), fresh || isNew ? layout(scene) : element.layout, config);
      if (isNew) listenToPlot(panel);
      listenToMouse(panel);
    }
    if (turn === state.turn) document.body.dataset.drawn = event.number;
  }

  function linkCamera(source) {
    return (change) => {
      const camera = change["scene.camera"];
      if (!camera || state.busy || !byId("linked").checked) return;
      state.busy = true;
      const others = panels.filter((panel) => panel.element !== source.element && panel.scene.space === source.scene.space);
      Promise.all(others.map((panel) => Plotly.relayout(panel.element, { "scene.camera": camera }))).finally(() => { state.busy = false; });
    };
  }

  function highlight(column, position) {
    const rows = position === null ? [] : state.shown.filter((i) => voxels[column][i] === position);
    for (const { scene, element } of panels) {
      if (!scene.colour.startsWith("instance") || !element._fullLayout) continue;
      const [x, y, z] = positions[scene.space].map((values) => rows.map((i) => values[i]));
      Plotly.restyle(element, { x: [x], y: [y], z: [z], visible: rows.length > 0 }, [1]);
    }
  }

  const number = (value, digits) => (Number.isFinite(value) ? Number(value).toPrecision(digits) : "undefined");

  function describe(i) {
    const rows = [["voxel", `${voxels.x[i]}, ${voxels.y[i]}, ${voxels.z[i]}`]];
    if (event.spaces.image.unit === "cm") rows.push(["position", positions.image.map((values) => values[i].toFixed(1)).join(", ") + " cm"]);
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

  function isolate(column, position) {
    const same = state.instance && state.instance.column === column && state.instance.position === position;
    state.instance = same || position === null ? null : { column, position };
    draw();
  }

  const current = ({ scene, element }) => ({ element, scene: event.scenes.find((one) => one.key === scene.key) || scene });

  /* Once for each plot; what it does depends on the event that is shown then. */
  function listenToPlot(panel) {
    const { element } = panel;
    element.on("plotly_hover", (data) => { if (data.points[0].curveNumber === 0) showTooltip(state.shown[data.points[0].pointNumber]); });
    element.on("plotly_unhover", hideTooltip);
    element.on("plotly_relayouting", (change) => linkCamera(current(panel))(change));
    element.on("plotly_relayout", (change) => linkCamera(current(panel))(change));
    element.on("plotly_webglcontextlost", () => setTimeout(() => revive(element), 500));
  }

  /* A browser takes the drawings of the oldest page away where too many are open, and all of them where its graphics fail:
     they are made again as soon as somebody looks at the page, a few times. */
  function revive(element) {
    if (document.hidden) {
      document.addEventListener("visibilitychange", () => revive(element), { once: true });
      return;
    }
    const times = Number(element.dataset.revived || 0);
    if (times >= MOST_REVIVALS || !element._fullLayout) return;
    element.dataset.revived = times + 1;
    Plotly.purge(element);
    draw();
  }

  /* Once for each element. */
  function listenToMouse(panel) {
    const { element } = panel;
    if (element.dataset.listening) return;
    element.dataset.listening = "yes";
    let pressed = null;
    element.addEventListener("mouseleave", hideTooltip);
    element.addEventListener("mousedown", (press) => {
      pressed = state.hovered === null ? null : { voxel: state.hovered, x: press.clientX, y: press.clientY };
    }, true);
    window.addEventListener("mouseup", (release) => {
      const column = current(panel).scene.colour;
      if (pressed && Math.hypot(release.clientX - pressed.x, release.clientY - pressed.y) < 4
        && column.startsWith("instance") && voxels[column][pressed.voxel] >= 0) isolate(column, voxels[column][pressed.voxel]);
      pressed = null;
    }, true);
  }

  document.addEventListener("mousemove", (move) => { pointer.x = move.clientX; pointer.y = move.clientY; }, true);
  byId("show-all").addEventListener("click", () => isolate(null, null));
  byId("size").addEventListener("input", (input) => {
    state.size = Number(input.target.value);
    panels.forEach(({ element }) => Plotly.restyle(element, { "marker.size": state.size }, [0]));
  });
  byId("errors").addEventListener("change", (box) => { state.errors = box.target.checked; draw(); });
  byId("points").addEventListener("change", (box) => { state.points = box.target.checked; draw(); });
  document.querySelectorAll("input[data-class]").forEach((box) => box.addEventListener("change", () => {
    const value = Number(box.dataset.class);
    if (box.checked) state.hiddenClasses.delete(value); else state.hiddenClasses.add(value);
    draw();
  }));

  /* Panels in their new size; the boxes in them are made to fit again. */
  function resize() {
    for (const { scene, element } of panels) {
      if (element._fullLayout) Plotly.Plots.resize(element).then(() => Plotly.relayout(element, { "scene.aspectratio": aspect(scene) }));
    }
  }

  let waiting = null;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(resize, 150); });

  /* Drawings keep their size on paper, so their panels do too; an enlarged one is printed alone, as wide as the paper. */
  window.addEventListener("beforeprint", () => {
    for (const { element } of panels) element.style.cssText = `width: ${element.offsetWidth}px; height: ${element.offsetHeight}px`;
    const large = document.querySelector(".card.large");
    if (large) document.body.style.zoom = PAPER / large.offsetWidth;
  });
  window.addEventListener("afterprint", () => {
    panels.forEach(({ element }) => { element.style.cssText = ""; });
    document.body.style.zoom = "";
  });

  return { load, isolate, highlight, resize,
    restyle: () => panels.forEach(({ scene, element }) => { const camera = element.layout.scene.camera;
      const fresh = layout(scene); fresh.scene.camera = camera; Plotly.react(element, traces(scene), fresh, config); }) };
})();
