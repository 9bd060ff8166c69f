"use strict";
const mlrecoColumns = (() => {
  const TYPES = { u1: Uint8Array, i1: Int8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array, f4: Float32Array };
  const ENERGY_COLOURS = [[0, "#fcce5b"], [0.2, "#fb9b3c"], [0.4, "#ee605e"], [0.6, "#b5367a"], [0.8, "#6a1c81"], [1, "#1d1147"]];
  const ENERGY_ON_DARK = [[0, "#fcce5b"], [0.2, "#fb9b3c"], [0.4, "#ee605e"], [0.6, "#d24c9a"], [0.8, "#a56be0"], [1, "#8fb4ff"]];
  const QUANTISED_NAN = 65535;

  function decode(column) {
    const text = atob(column.bdata);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    const values = new TYPES[column.dtype](bytes.buffer);
    if (column.step === undefined) return values;
    return Float32Array.from(values, (v) => (v === QUANTISED_NAN ? NaN : column.low + column.step * v));
  }

  function decodeAll(columns) {
    return Object.fromEntries(Object.entries(columns).map(([name, column]) => [name, decode(column)]));
  }

  function places(event, voxels) {
    const { origin, voxel_size: size } = event.image;
    const inCm = event.spaces.image.unit === "cm";
    const image = ["x", "y", "z"].map((axis, i) => Float32Array.from(voxels[axis], (v) => (inCm ? origin[i] + (v + 0.5) * size[i] : v + 0.5)));
    return { image, embedding: [voxels.e1, voxels.e2, voxels.e3] };
  }

  function logEnergies(event, voxels) {
    return Float32Array.from(voxels.energy, (e) => (e > 0 ? Math.log10(e) : event.energy_scale.low));
  }

  function colourOf(event, voxels, column) {
    const entries = column.startsWith("class") ? event.classes : event.instances[column];
    const colours = entries.map((entry) => entry.colour);
    const values = voxels[column];
    return (i) => (values[i] >= 0 ? colours[values[i]] : event.no_instance_colour);
  }

  return { ENERGY_COLOURS, ENERGY_ON_DARK, decodeAll, places, logEnergies, colourOf };
})();
