"use strict";
(() => {
  const parse = (id) => JSON.parse(document.getElementById(id).textContent);

  const PIXELS = 480;
  const EDGES = [[0, 1], [0, 2], [0, 4], [1, 3], [1, 5], [2, 3], [2, 6], [3, 7], [4, 5], [4, 6], [5, 7], [6, 7]];

  function energyColour(event, voxels) {
    const { low, high } = event.energy_scale;
    const stops = mlrecoColumns.ENERGY_COLOURS.map(([at, hex]) => [at, [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16))]);
    const ramp = Array.from({ length: 64 }, (_, k) => {
      const at = k / 63;
      const next = Math.max(1, stops.findIndex(([stop]) => stop >= at));
      const [[from, a], [to, b]] = [stops[next - 1], stops[next]];
      return `rgb(${a.map((v, c) => Math.round(v + (b[c] - v) * (at - from) / (to - from))).join(",")})`;
    });
    const logs = mlrecoColumns.logEnergies(event, voxels);
    return (i) => ramp[Math.round(63 * Math.min(1, Math.max(0, (logs[i] - low) / (high - low))))];
  }

  function project(view, x, y, z) {
    const across = view.cosYaw * x - view.sinYaw * z;
    const away = view.sinYaw * x + view.cosYaw * z;
    return [across, view.cosPitch * y - view.sinPitch * away, view.sinPitch * y + view.cosPitch * away];
  }

  function makePicture(event, voxels, scene) {
    const holder = document.createElement("div");
    holder.className = "picture";
    const title = document.createElement("span");
    title.textContent = scene.title;
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = PIXELS;
    holder.append(title, canvas);
    const ranges = event.spaces[scene.space].ranges;
    const middle = ranges.map(([low, high]) => (low + high) / 2);
    const scale = PIXELS / Math.hypot(...ranges.map(([low, high]) => high - low));
    const position = mlrecoColumns.places(event, voxels)[scene.space].map((values, i) => Float32Array.from(values, (v) => scale * (v - middle[i])));
    const corners = Array.from({ length: 8 }, (_, k) => ranges.map((range, i) => scale * (range[(k >> i) & 1] - middle[i])));
    const colour = scene.colour === "energy" ? energyColour(event, voxels) : mlrecoColumns.colourOf(event, voxels, scene.colour);
    const colours = Array.from({ length: event.count }, (_, i) => colour(i));
    const size = Math.max(2, 1.6 * event.marker.size);

    function paint(view) {
      const pen = canvas.getContext("2d");
      pen.fillStyle = "#ffffff";
      pen.fillRect(0, 0, PIXELS, PIXELS);
      pen.strokeStyle = "#d5dce3";
      const at = corners.map((corner) => project(view, ...corner));
      for (const [a, b] of EDGES) {
        pen.beginPath();
        pen.moveTo(PIXELS / 2 + at[a][0], PIXELS / 2 - at[a][1]);
        pen.lineTo(PIXELS / 2 + at[b][0], PIXELS / 2 - at[b][1]);
        pen.stroke();
      }
      const points = Array.from({ length: event.count }, (_, i) => project(view, position[0][i], position[1][i], position[2][i]));
      const order = Uint32Array.from(points.keys()).sort((a, b) => points[a][2] - points[b][2]);
      for (const i of order) {
        pen.fillStyle = colours[i];
        pen.fillRect(PIXELS / 2 + points[i][0] - size / 2, PIXELS / 2 - points[i][1] - size / 2, size, size);
      }
    }
    return { holder, canvas, space: scene.space, paint };
  }

  function showEvent(box, event) {
    const voxels = mlrecoColumns.decodeAll(event.voxels);
    const pictures = event.scenes.map((scene) => makePicture(event, voxels, scene));
    const angles = { image: { yaw: 0.75, pitch: 0.4 }, embedding: { yaw: 0.75, pitch: 0.4 } };
    const view = ({ yaw, pitch }) => ({ cosYaw: Math.cos(yaw), sinYaw: Math.sin(yaw), cosPitch: Math.cos(pitch), sinPitch: Math.sin(pitch) });
    const paint = (space) => pictures.filter((picture) => picture.space === space).forEach((picture) => picture.paint(view(angles[space])));
    for (const { canvas, space } of pictures) {
      let waiting = false;
      canvas.addEventListener("pointerdown", (press) => canvas.setPointerCapture(press.pointerId));
      canvas.addEventListener("pointermove", (move) => {
        if (!canvas.hasPointerCapture(move.pointerId)) return;
        angles[space].yaw += 0.01 * move.movementX;
        angles[space].pitch = Math.min(1.57, Math.max(-1.57, angles[space].pitch + 0.01 * move.movementY));
        if (waiting) return;
        waiting = true;
        requestAnimationFrame(() => { waiting = false; paint(space); });
      });
    }
    box.append(...pictures.map((picture) => picture.holder));
    Object.keys(event.spaces).forEach(paint);
  }

  const events = parse("events");
  document.querySelectorAll(".pictures").forEach((box) => showEvent(box, events[Number(box.dataset.event)]));
})();
