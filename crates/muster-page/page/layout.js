// Places of the nodes of a graph: a layer is one below the lowest that it needs, and the order within a layer keeps the edges short.

const ROUNDS = 8;

/** Nodes are names; an edge goes from one to another that it needs. Returns the layers, and the layer and column of each node. */
export function layout(names, edges) {
  const needs = new Map(names.map((name) => [name, []]));
  const neededBy = new Map(names.map((name) => [name, []]));
  for (const { from, to } of edges) {
    needs.get(from).push(to);
    neededBy.get(to).push(from);
  }
  const depth = new Map();
  const open = new Set();
  const depthOf = (name) => {
    if (depth.has(name)) return depth.get(name);
    // Only `restart_with` can make a circle; it is cut here.
    if (open.has(name)) return 0;
    open.add(name);
    const result = Math.max(0, ...needs.get(name).map((other) => depthOf(other) + 1));
    open.delete(name);
    depth.set(name, result);
    return result;
  };
  const layers = [];
  for (const name of names) (layers[depthOf(name)] ??= []).push(name);
  for (let at = 0; at < layers.length; at += 1) layers[at] ??= [];

  const columns = Math.max(1, ...layers.map((layer) => layer.length));
  const column = new Map();
  const spread = () => layers.forEach((layer) => layer.forEach((name, at) => column.set(name, at + (columns - layer.length) / 2)));
  spread();
  const mean = (name, of) => {
    const list = of.get(name);
    return list.length ? list.reduce((sum, other) => sum + column.get(other), 0) / list.length : column.get(name);
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    const isDown = round % 2 === 0;
    for (const layer of isDown ? layers : [...layers].reverse()) {
      const wish = new Map(layer.map((name) => [name, mean(name, isDown ? needs : neededBy)]));
      layer.sort((a, b) => wish.get(a) - wish.get(b));
    }
    spread();
  }
  const at = new Map(layers.flatMap((layer, index) => layer.map((name) => [name, { layer: index, column: column.get(name) }])));
  return { layers, at, columns };
}
