// The page of several layers: sheets of every depth, and one atom opened into its parts.

const { data } = page;
const depth = data.layers.length;
const BIG = 168; // pixels on the screen, of the chosen atom

const layers = data.layers.map((layer, l) => {
  const [h, w] = layer.size;
  const images = new Planes({ size: [data.channels * h, w], bytes: layer.bytes });
  return {
    ...layer,
    name: `layer${l + 1}`,
    height: h,
    width: w,
    values: (k) => images.get(k).map((value) => value * layer.top[k]),
  };
});
const state = { layer: depth - 1, chosen: 0, sort: "index" };

function describe(l, k) {
  const { share } = layers[l];
  return `layer ${l + 1}, atom ${k}${share ? `, use ${percent(share[k], 2)}` : ""}`;
}

// ---- The sum of parts

// The pixels (channels, height, width) of the sum of the first n parts of an atom of layer l.
function sumOfParts(l, k, n) {
  const { height, width, parts } = layers[l];
  const below = layers[l - 1];
  const sum = new Float64Array(data.channels * height * width);
  for (let p = 0; p < n; p++) {
    const [row, column] = parts[k].at[p];
    const values = below.values(parts[k].index[p]);
    for (let c = 0; c < data.channels; c++) {
      for (let y = 0; y < below.height; y++) {
        for (let x = 0; x < below.width; x++) {
          sum[(c * height + row + y) * width + column + x] +=
            parts[k].code[p] * values[(c * below.height + y) * below.width + x];
        }
      }
    }
  }
  return sum;
}

// Draw values (channels, height, width); `top` is white, its negative black.
function drawChannels(canvas, values, height, width, top) {
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let p = 0; p < height * width; p++) {
    for (let c = 0; c < 3; c++) {
      image.data[4 * p + c] =
        127.5 * (1 + values[(data.channels === 3 ? c : 0) * height * width + p] / (top || 1));
    }
    image.data[4 * p + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// ---- The sheets

const sheets = layers.map(
  (layer, l) =>
    new Sheet({
      n: layer.n,
      name: layer.name,
      zoom: Math.max(2, zoomFor(layer.name, l ? 48 : 40)),
      prefix: layer.name,
      title: `Atoms of layer ${l + 1}: arrow keys move, the chosen one is opened`,
      label: (k) => describe(l, k),
      choose: (k, seen) => choose(l, k, seen),
    }),
);

function order(l) {
  const { n, share } = layers[l];
  const all = Array.from({ length: n }, (_, k) => k);
  return state.sort === "use" && share ? all.sort((p, q) => share[q] - share[p] || p - q) : all;
}

// The atoms of each layer that an atom of layer l consists of, as sets; all atoms of layers above.
function members(l, k) {
  const found = [];
  found[l] = new Set([k]);
  for (let i = l; i > 0; i--) {
    found[i - 1] = new Set([...found[i]].flatMap((one) => layers[i].parts[one].index));
  }
  return found;
}

function sheetPanel(l) {
  const layer = layers[l];
  const count = make("output", { id: `${layer.name}-count`, class: "note" });
  return {
    count,
    element: make(
      "section",
      { class: "panel", "aria-label": `Layer ${l + 1}` },
      make(
        "div",
        { class: "row layer-head" },
        make("h2", {}, `Layer ${l + 1}`),
        make(
          "span",
          { class: "note" },
          `${layer.n} atoms of ${layer.height} × ${layer.width} pixels`,
        ),
        make("span", { class: "spacer" }),
        count,
      ),
      sheets[l].element,
    ),
  };
}
const panels = layers.map((_, l) => sheetPanel(l));

// ---- One atom, opened

const detail = make("section", {
  class: "panel detail",
  id: "detail",
  "aria-label": "The chosen atom",
});

function bar(code, top) {
  const mark = make("span", { class: code < 0 ? "code-bar minus" : "code-bar" });
  mark.style.setProperty("--code", Math.abs(code) / (top || 1));
  return mark;
}

// The parts of an atom of layer l as a list; each opens into its own parts.
function partsList(l, k, mark) {
  const { parts } = layers[l];
  const { index, code, at } = parts[k];
  const top = Math.max(...code.map(Math.abs));
  const items = index.map((below, p) => {
    const zoom = 40 / layers[l - 1].height;
    const head = [
      picture(layers[l - 1].name, below, zoom, `atom ${below} of layer ${l}`),
      make("span", { class: "part-name" }, `atom ${below}`),
      make("span", { class: "part-code" }, shown(code[p], 3)),
      bar(code[p], top),
    ];
    const on = mark
      ? {
          pointerenter: () => mark(at[p]),
          pointerleave: () => mark(null),
          focusin: () => mark(at[p]),
        }
      : {};
    const show = make(
      "button",
      {
        type: "button",
        class: "quiet",
        "aria-label": `choose atom ${below} of layer ${l}`,
        on: { click: () => choose(l - 1, below) },
      },
      "show",
    );
    if (l === 1) return make("li", { class: "part", on }, head, show);
    const inner = make("div", {});
    const opened = make(
      "details",
      {
        on: {
          toggle: () => {
            if (opened.open && !inner.firstChild) inner.append(partsList(l - 1, below));
          },
        },
      },
      make("summary", { class: "part" }, head, show),
      inner,
    );
    return make("li", { on }, opened);
  });
  const left = parts[k].of - index.length;
  return make(
    "div",
    { class: "parts" },
    make("ul", {}, items),
    left ? make("p", { class: "note" }, `and ${left} smaller ones`) : null,
  );
}

function choose(l, k, seen = false) {
  if (k === undefined) return;
  Object.assign(state, { layer: l, chosen: k });
  const within = members(l, k);
  sheets.forEach((sheet, i) => {
    sheet.mark(
      i < l ? Array.from({ length: layers[i].n }, (_, j) => within[i].has(j)) : null,
      false,
    );
    panels[i].count.textContent = i < l ? `${within[i].size} of them make the chosen atom` : "";
    if (i === l) {
      sheet.select(k);
      if (!seen) sheet.reveal();
    } else sheet.deselect();
  });
  detail.replaceChildren(...opened(l, k));
}

function opened(l, k) {
  const layer = layers[l];
  const zoom = BIG / Math.max(layer.height, layer.width);
  const head = make(
    "div",
    { class: "detail-head" },
    make("h2", { id: "atom-name" }, `Layer ${l + 1}, atom ${k}`),
    layer.share ? make("span", { class: "tag" }, `use ${percent(layer.share[k], 2)}`) : null,
  );
  const outline = make("span", { class: "outline", hidden: true });
  const whole = make(
    "figure",
    { class: "view" },
    make("div", { class: "big" }, picture(layer.name, k, zoom, describe(l, k)), outline),
    make("figcaption", {}, "atom"),
  );
  if (l === 0)
    return [
      head,
      make("div", { class: "views two" }, whole),
      make("p", { class: "note" }, "Atoms of layer 1 are the smallest parts."),
    ];
  const { index } = layer.parts[k];
  const below = layers[l - 1];
  const mark = (at) => {
    outline.hidden = at === null;
    if (at === null) return;
    Object.assign(outline.style, {
      top: `${at[0] * zoom}px`,
      left: `${at[1] * zoom}px`,
      width: `${below.width * zoom}px`,
      height: `${below.height * zoom}px`,
    });
  };
  const canvas = make("canvas", { role: "img", class: "sum" });
  canvas.style.width = `${layer.width * zoom}px`;
  const words = make("figcaption", {});
  const slider = make("input", {
    type: "range",
    id: "parts",
    min: 1,
    max: index.length,
    value: index.length,
  });
  const truth = layer.values(k);
  const draw = () => {
    const n = Number(slider.value);
    const sum = sumOfParts(l, k, n);
    drawChannels(canvas, sum, layer.height, layer.width, layer.top[k]);
    const squares = (values) => values.reduce((total, value) => total + value * value, 0);
    const explained = 1 - squares(truth.map((value, p) => value - sum[p])) / squares(truth);
    words.textContent = `sum of ${n === index.length ? `all ${n}` : `the first ${n}`} parts: ${percent(explained)} of the energy`;
    canvas.setAttribute("aria-label", words.textContent);
    slider.setAttribute("aria-valuetext", words.textContent);
  };
  slider.addEventListener("input", draw);
  draw();
  return [
    head,
    make("div", { class: "views two" }, whole, make("figure", { class: "view" }, canvas, words)),
    make("div", { class: "row" }, make("label", { for: "parts", class: "note" }, "parts"), slider),
    make("h3", { class: "set-name" }, `Atoms of layer ${l} in it, and their codes`),
    partsList(l, k, mark),
  ];
}

// ---- The page

const sort = segments(
  "Order of the sheets",
  { index: "by number", use: "by use" },
  "index",
  (how) => {
    state.sort = how;
    sheets.forEach((sheet, l) => sheet.order(order(l)));
  },
);
const learning = data.history ? learningPanel(data.history, null, () => {}) : null;
document
  .getElementById("main")
  .append(
    make(
      "div",
      { class: "columns" },
      make(
        "div",
        { class: "wide" },
        ...[learning].filter(Boolean),
        layers[0].share ? make("div", { class: "row" }, sort) : "",
        ...[...panels].reverse().map(({ element }) => element),
      ),
      make("div", { class: "narrow" }, detail),
    ),
  );
choose(depth - 1, 0);
