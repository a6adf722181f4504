// The page of one set of atoms.

const { data } = page;
const { fit } = data;
const degrees = fit.orientation.map((angle) => (angle * 180) / Math.PI);
const planes = new Planes(data.planes);
const everyone = Array.from({ length: data.n }, (_, i) => i);
const like = fit.like.map(Boolean);

// What atoms can be sorted and filtered by. `gabor`: without meaning for atoms that no Gabor function fits.
const columns = {
  r2: { name: "R² of the Gabor fit", values: fit.r2, decimals: 2, step: 0.01 },
  orientation: { name: "orientation, degrees", values: degrees, decimals: 0, step: 1, gabor: true },
  frequency: {
    name: "frequency, cycles per pixel",
    values: fit.peak_frequency,
    decimals: 3,
    step: 0.005,
    gabor: true,
  },
  n_x: { name: "n_x, width in cycles", values: fit.n_x, decimals: 2, step: 0.05, gabor: true },
  n_y: { name: "n_y, length in cycles", values: fit.n_y, decimals: 2, step: 0.05, gabor: true },
};
if (data.share)
  columns.use = {
    name: "use, % of the energy of all codes",
    values: data.share.map((s) => 100 * s),
    decimals: 2,
    step: 0.05,
  };
if (data.n > 1)
  columns.similar = {
    name: "cosine with the most similar atom",
    values: data.similar.cosines.map((c) => c[0]),
    decimals: 2,
    step: 0.01,
  };

const state = {
  chosen: null,
  ranges: {},
  kind: "all",
  only: false,
  sort: "r2",
  descending: true,
  sheet: "atoms",
};

function describe(i) {
  const words = [`atom ${i}`, `R² ${shown(fit.r2[i])}`, like[i] ? "Gabor-like" : "not Gabor-like"];
  if (data.share) words.push(`use ${percent(data.share[i], 2)}`);
  return words.join(", ");
}

// ---- The sheet and what steers it

const zoom = zoomFor("atoms", data.n > 400 ? 26 : 38);

const sheet = new Sheet({
  n: data.n,
  name: "atoms",
  zoom,
  title: "Atoms: arrow keys move, the chosen one is shown in detail",
  label: describe,
  choose,
});
const count = make("output", { id: "count", "aria-live": "polite" });
const chips = make("div", { class: "chips", "aria-label": "Filters" });

function sortOrder() {
  if (state.sort === "index") return state.descending ? [...everyone].reverse() : everyone;
  const { values, gabor } = columns[state.sort];
  const value = (i) => (gabor && !like[i] ? NaN : (values[i] ?? NaN));
  const sign = state.descending ? -1 : 1;
  return [...everyone].sort((a, b) => {
    const [p, q] = [value(a), value(b)];
    if (Number.isNaN(p) || Number.isNaN(q)) return Number.isNaN(p) - Number.isNaN(q) || a - b;
    return sign * (p - q) || a - b;
  });
}

// Which atoms pass all filters; null if there is none.
function marked() {
  const ranges = Object.entries(state.ranges);
  if (!ranges.length && state.kind === "all") return null;
  return everyone.map(
    (i) =>
      (state.kind === "all" || (state.kind === "like") === like[i]) &&
      ranges.every(([key, [low, high]]) => {
        const { values, gabor } = columns[key];
        return (!gabor || like[i]) && values[i] !== null && low <= values[i] && values[i] <= high;
      }),
  );
}

function update() {
  const now = marked();
  state.marked = now;
  sheet.mark(now, state.only);
  count.textContent = now ? `${now.filter(Boolean).length} of ${data.n} atoms` : `${data.n} atoms`;
  chips.replaceChildren(...Object.entries(state.ranges).map(([key, range]) => chip(key, range)));
  for (const plot of plots) {
    plot.frame(state.ranges);
    plot.paint();
  }
  for (const [key, inputs] of Object.entries(bounds)) {
    inputs.forEach((input, side) => {
      const range = state.ranges[key];
      if (document.activeElement !== input)
        input.value =
          range && Number.isFinite(range[side]) ? range[side].toFixed(columns[key].decimals) : "";
    });
  }
}

function chip(key, [low, high]) {
  const { name, decimals } = columns[key];
  const [from, to] = [shown(low, decimals), shown(high, decimals)];
  const both = Number.isFinite(low) && Number.isFinite(high);
  const range = both ? `${from} to ${to}` : Number.isFinite(low) ? `from ${from}` : `up to ${to}`;
  const text = `${name.split(",")[0]} ${range}`;
  return make(
    "button",
    {
      type: "button",
      class: "chip",
      "aria-label": `remove the filter ${text}`,
      on: { click: () => brush({ [key]: null }) },
    },
    text,
    make("span", { "aria-hidden": "true" }, " ×"),
  );
}

// Set ranges by column; null removes one. Without any, remove all that the plots can set.
function brush(ranges) {
  if (ranges === null) state.ranges = {};
  for (const [key, range] of Object.entries(ranges || {})) {
    if (range) state.ranges[key] = range;
    else delete state.ranges[key];
  }
  update();
}

const bounds = {};

// The same filters as numbers, for keyboards and for exact values.
function boundsTable() {
  const rows = Object.entries(columns).map(([key, { name, step }]) => {
    bounds[key] = ["from", "to"].map((side) =>
      make("input", {
        type: "number",
        step,
        id: `${key}-${side}`,
        "aria-label": `${name}, ${side}`,
        on: {
          input: () => {
            const [low, high] = bounds[key].map((input) => input.value);
            const range = [
              low === "" ? -Infinity : Number(low),
              high === "" ? Infinity : Number(high),
            ];
            brush({ [key]: low === "" && high === "" ? null : range });
          },
        },
      }),
    );
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, name),
      bounds[key].map((input) => make("td", {}, input)),
    );
  });
  return make(
    "details",
    { class: "bounds" },
    make("summary", {}, "Filter by numbers"),
    make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("td", {}),
          make("th", { scope: "col" }, "from"),
          make("th", { scope: "col" }, "to"),
        ),
      ),
      make("tbody", {}, rows),
    ),
  );
}

function toolbar() {
  const sort = make(
    "select",
    {
      id: "sort",
      on: {
        change: () => {
          state.sort = sort.value;
          sheet.order(sortOrder());
        },
      },
    },
    make("option", { value: "index" }, "number"),
    Object.entries(columns).map(([key, { name }]) =>
      make("option", { value: key, selected: key === state.sort }, name.split(",")[0]),
    ),
  );
  const direction = make(
    "button",
    {
      type: "button",
      id: "direction",
      on: {
        click: () => {
          state.descending = !state.descending;
          direction.textContent = state.descending ? "largest first" : "smallest first";
          sheet.order(sortOrder());
        },
      },
    },
    "largest first",
  );
  const kinds = segments(
    "Which atoms",
    { all: "all", like: "Gabor-like", not: "the others" },
    "all",
    (kind) => {
      state.kind = kind;
      update();
    },
  );
  const only = checkbox("only", (ticked) => {
    state.only = ticked;
    update();
  });
  const size = make("input", {
    type: "range",
    id: "size",
    min: Math.min(1, zoom),
    max: Math.max(8, 2 * zoom),
    step: 0.5,
    value: zoom,
    on: { input: () => sheet.element.style.setProperty("--zoom", size.value * sizes[state.sheet]) },
  });
  const sizes = {
    atoms: 1,
    fields: data.sheets.fields ? data.size[0] / data.sheets.fields.size[0] : 1,
  };
  const sources = data.sheets.fields
    ? segments(
        "What the sheet shows",
        { atoms: "atoms", fields: "fields in the stimulus" },
        "atoms",
        (name) => {
          state.sheet = name;
          sheet.source(name);
          sheet.element.style.setProperty("--zoom", size.value * sizes[name]);
        },
      )
    : null;
  return make(
    "div",
    { class: "toolbar" },
    make("div", { class: "row" }, make("label", { for: "sort" }, "Sort by"), sort, direction),
    make("div", { class: "row" }, kinds, make("label", {}, only, " hide the others")),
    make("div", { class: "row" }, sources, make("label", { for: "size" }, "Size"), size),
    make("div", { class: "row found" }, count, chips),
  );
}

// ---- One atom in detail

const detail = make("section", {
  class: "panel detail",
  id: "detail",
  "aria-label": "The chosen atom",
});

// Atom and field have one scale: the larger of the two fills the frame.
function tileFigure(caption, description, name, i) {
  const largest = Math.max(
    ...["atoms", "fields"].flatMap((sheet) => data.sheets[sheet]?.size || []),
  );
  return make(
    "figure",
    { class: "view" },
    make("div", { class: "frame" }, picture(name, i, PICTURE / largest, description)),
    make("figcaption", {}, caption),
  );
}

function views(i) {
  const { height, width } = planes;
  const plane = planes.get(i);
  const model = gabor(fit, i, height, width);
  const bars = `bars at ${shown(degrees[i], 0)} degrees, ${shown(fit.peak_frequency[i], 3)} cycles per pixel`;
  return make(
    "div",
    { class: "views" },
    tileFigure("atom", `atom ${i}`, "atoms", i),
    data.sheets.fields
      ? tileFigure("field", `receptive field of atom ${i} in pixels of the stimulus`, "fields", i)
      : null,
    canvasFigure("Gabor function", `Gabor function fitted to atom ${i}: ${bars}`, (c) =>
      drawSigned(c, model, height, width),
    ),
    canvasFigure("residual", `residual of the fit, ${percent(1 - fit.r2[i])} of the energy`, (c) =>
      drawSigned(
        c,
        plane.map((value, p) => value - model[p]),
        height,
        width,
      ),
    ),
    canvasFigure(
      "spectrum",
      `amplitude spectrum of atom ${i}, from minus to plus half a cycle per pixel`,
      (c) => drawGrey(c, spectrum(plane, height, width), SPECTRUM_SIDE, SPECTRUM_SIDE),
      "smooth",
    ),
  );
}

function facts(i) {
  const bar = make(
    "svg",
    { viewBox: "-8 -8 16 16", class: "glyph", "aria-hidden": "true" },
    make("line", { x1: -7, x2: 7, transform: `rotate(${-degrees[i]})`, class: "bar" }),
  );
  const rows = [
    ["R² of the Gabor fit", shown(fit.r2[i], 3)],
    ["orientation of the bars", make("span", {}, `${shown(degrees[i], 0)}°`, bar)],
    ["frequency", `${shown(fit.peak_frequency[i], 3)} cycles/pixel`],
    ["bandwidth", fit.bandwidth[i] === null ? "low-pass" : `${shown(fit.bandwidth[i])} octaves`],
    ["n_x, n_y", `${shown(fit.n_x[i])}, ${shown(fit.n_y[i])}`],
    ["phase", `${shown((fit.phase[i] * 180) / Math.PI, 0)}°`],
    ["envelope within the patch", percent(fit.energy_inside[i])],
  ];
  if (data.share) rows.push(["use, of the energy of all codes", percent(data.share[i], 2)]);
  return make(
    "dl",
    { class: like[i] ? "facts" : "facts weak" },
    rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
  );
}

function similarAtoms(i) {
  if (data.n < 2) return null;
  const tiles = data.similar.indices[i].map((j, k) => {
    const cosine = data.similar.cosines[i][k];
    return make(
      "button",
      {
        type: "button",
        class: cosine > 0.95 ? "linked twin" : "linked",
        on: { click: () => choose(j) },
        "aria-label": `atom ${j}, cosine ${shown(cosine)}`,
      },
      picture("atoms", j, 44 / data.size[0], ""),
      make("span", {}, shown(cosine)),
    );
  });
  const twins = data.similar.cosines[i].filter((cosine) => cosine > 0.95).length;
  return make(
    "section",
    {},
    make("h3", {}, "Most similar atoms"),
    make(
      "p",
      { class: "note" },
      `Cosine at the best sign and shift; ${twins ? `${twins} above 0.95: a duplicate` : "none above 0.95, so no duplicate"}.`,
    ),
    make("div", { class: "strip" }, tiles),
  );
}

function usedMost(i) {
  const { patches } = data;
  if (!patches) return null;
  const used = Array.from({ length: patches.n }, (_, k) => k).filter((k) => patches.codes[i][k]);
  const tiles = used.map((k) => {
    const code = shown(patches.codes[i][k]);
    const [signal, row, column] = patches.places ? patches.places[i][k] : [];
    const where = patches.places ? ` of picture ${signal}, row ${row}, column ${column}` : "";
    const label = `patch${where} with ${patches.are_codes ? "code" : "inner product"} ${code}`;
    const zoom = 52 / data.sheets.patches.size[0];
    const tile = picture("patches", i * patches.n + k, zoom, label);
    tile.title = label;
    return make("figure", { class: "used" }, tile, make("figcaption", {}, code));
  });
  const what = patches.are_codes ? "largest codes" : "largest inner products";
  return make(
    "section",
    {},
    make("h3", {}, "Used most in"),
    make(
      "p",
      { class: "note" },
      patches.places
        ? `The patches with the ${what} in ${patches.of.toLocaleString("en")} pictures; below each, the value.`
        : `The patches with the ${what} of ${patches.of.toLocaleString("en")}; below each, the value.`,
    ),
    make("div", { class: "strip" }, tiles),
  );
}

function step(by) {
  const { visible } = sheet;
  const at = visible.indexOf(state.chosen);
  choose(visible[(at + by + visible.length) % visible.length]);
}

function choose(i, seen = false) {
  if (i === undefined) return;
  state.chosen = i;
  sheet.select(i);
  const arrow = (sign, by, name) =>
    make(
      "button",
      { type: "button", class: "quiet", "aria-label": name, on: { click: () => step(by) } },
      sign,
    );
  detail.replaceChildren(
    make(
      "div",
      { class: "detail-head" },
      make("h2", { id: "atom-name" }, `Atom ${i}`),
      make(
        "span",
        { class: like[i] ? "tag yes" : "tag" },
        like[i] ? "Gabor-like" : "not Gabor-like",
      ),
      make("span", { class: "spacer" }),
      arrow("‹", -1, "previous atom"),
      arrow("›", 1, "next atom"),
    ),
    views(i),
    facts(i),
    ...[similarAtoms(i), usedMost(i)].filter(Boolean),
  );
  if (!seen) sheet.reveal();
  for (const plot of [shapes, waves]) plot.ring(plot.places[i]);
  quality.show(fit.r2[i]);
}

// ---- The plots

const shapes = new Shapes({
  name: "shapes",
  label: "Shapes over macaque cells",
  macaque: data.macaque,
  brush,
  choose,
  help: "Dots: Gabor-like atoms. Crosses: atoms with scrambled phases. Squares: counts of macaque cells. Drag to select, click a dot to see it, click elsewhere to clear.",
});
shapes.places = everyone.map((i) => (like[i] ? shapes.place(fit.n_x[i], fit.n_y[i]) : null));
const scrambled = data.nulls.phase.n_x.map((n_x, k) => shapes.place(n_x, data.nulls.phase.n_y[k]));
shapes.points = (context) => {
  crosses(context, scrambled);
  shapes.atoms(context, state.marked);
};

const waves = new Waves({
  name: "waves",
  label: "Orientation and frequency",
  brush,
  choose,
  help: "Gabor-like atoms, and as crosses those with scrambled phases.",
});
waves.places = everyone.map((i) =>
  like[i] ? waves.place(fit.orientation[i], fit.peak_frequency[i]) : null,
);
const { phase } = data.nulls;
const scrambledWaves = phase.orientation.map((angle, k) =>
  phase.like[k] ? waves.place(angle, phase.peak_frequency[k]) : null,
);
waves.points = (context) => {
  crosses(context, scrambledWaves);
  waves.atoms(context, state.marked);
};

const quality = new Quality({
  name: "quality",
  label: "How many are Gabor-like",
  brush,
  choose,
  help: "The share of atoms whose fit reaches each R². Solid: these atoms; dashed: with scrambled phases; dotted: band-pass noise.",
  lines: [
    { values: data.nulls.noise.r2, style: "null dotted" },
    { values: phase.r2, style: "null dashed" },
    { values: fit.r2, style: "atoms" },
  ],
});

const distance = new Strip({
  name: "distance",
  label: "Distance to the macaque’s shapes",
  unit: "earth mover’s distance, bins",
  help: "Lines are intervals of 95 %. The floor: two samples of the macaque’s own cells.",
  rows: [
    {
      name: "these atoms",
      value: data.macaque.emd,
      interval: data.macaque.interval,
      style: "atoms",
    },
    { name: "scrambled phases", value: data.macaque.null, style: "null" },
    {
      name: "floor, two samples",
      value: data.macaque.floor,
      interval: data.macaque.floor_interval,
      style: "macaque",
    },
  ],
});

const plots = [shapes, waves, quality];

// ---- The page

const learning =
  data.history || data.passes
    ? learningPanel(data.history, data.passes, (k, last) => {
        if (!data.passes || state.sheet !== "atoms") return;
        if (last) sheet.source("atoms");
        else sheet.source("passes", k * data.passes.rows);
      })
    : null;

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
        make(
          "section",
          { class: "panel", "aria-label": "Sheet of atoms" },
          toolbar(),
          sheet.element,
          boundsTable(),
        ),
        make(
          "section",
          { class: "plots", "aria-label": "Plots" },
          make("div", {}, shapes.element, distance.element),
          make("div", {}, waves.element, quality.element),
        ),
      ),
      make("div", { class: "narrow" }, detail),
    ),
  );

sheet.order(sortOrder());
update();
choose(sheet.visible[0]);
