// The page of comparisons of two sets of filters each: the best pairs, and what the sets share.

const { data } = page;
const sets = data.sets.map((set, i) => ({
  ...set,
  sheet: `set${i}`,
  images: new Planes(set.planes),
  degrees: set.fit.orientation.map((angle) => (angle * 180) / Math.PI),
}));

function comparisonPage(c) {
  const { pairs } = c;
  const [a, b] = [sets[c.a], sets[c.b]];
  const n = pairs.a.length;
  const everyone = Array.from({ length: n }, (_, k) => k);
  const like = everyone.map((k) => Boolean(a.fit.like[pairs.a[k]] && b.fit.like[pairs.b[k]]));
  const state = { chosen: null, least: 0, ranges: {}, both: "all", only: false, marked: null };
  const turn = everyone.map((k) => {
    const apart = Math.abs(a.degrees[pairs.a[k]] - b.degrees[pairs.b[k]]);
    return like[k] ? Math.min(apart, 180 - apart) : NaN;
  });
  const octaves = everyone.map((k) =>
    like[k] ? Math.abs(Math.log2(a.fit.frequency[pairs.a[k]] / b.fit.frequency[pairs.b[k]])) : NaN,
  );
  const keys = {
    score: { name: "score of the pair", value: (k) => -pairs.scores[k] },
    turn: { name: "difference of orientation", value: (k) => turn[k] },
    octaves: { name: "difference of frequency", value: (k) => octaves[k] },
    number: { name: "number in the first set", value: (k) => pairs.a[k] },
  };

  // ---- The pairs

  const describe = (k) =>
    `pair of filter ${pairs.a[k]} and filter ${pairs.b[k]}, score ${shown(pairs.scores[k])}`;
  const partner = (k, pixels, label) => {
    const tile = picture(b.sheet, pairs.b[k], pixels / data.sheets[b.sheet].size[0], label);
    if (pairs.signs[k] < 0) tile.classList.add("negative");
    return tile;
  };
  const sheet = new Sheet({
    n,
    title: "Pairs, the best first: arrow keys move, the chosen one is shown in detail",
    label: describe,
    choose,
    fill: (box, k) => {
      const bar = make("span", { class: "score" });
      bar.style.setProperty("--score", pairs.scores[k]);
      box.append(
        picture(a.sheet, pairs.a[k], 40 / data.sheets[a.sheet].size[0], ""),
        partner(k, 40, ""),
        bar,
      );
    },
  });
  const count = make("output", { id: "count", "aria-live": "polite" });
  const chips = make(
    "button",
    { type: "button", class: "chip", hidden: true, on: { click: () => brush(null) } },
    "selected in the plot ×",
  );

  function order(key) {
    const { value } = keys[key];
    const rank = (k) => (Number.isNaN(value(k)) ? Infinity : value(k));
    return [...everyone].sort((p, q) => (rank(p) === rank(q) ? p - q : rank(p) - rank(q)));
  }

  function update() {
    const ranges = Object.entries(state.ranges);
    const all = !ranges.length && state.both === "all" && state.least <= 0;
    state.marked = all
      ? null
      : everyone.map(
          (k) =>
            (state.both === "all" || like[k]) &&
            pairs.scores[k] >= state.least &&
            (!ranges.length || Boolean(a.fit.like[pairs.a[k]])) &&
            ranges.every(
              ([key, [low, high]]) =>
                low <= a.fit[key][pairs.a[k]] && a.fit[key][pairs.a[k]] <= high,
            ),
        );
    sheet.mark(state.marked, state.only);
    count.textContent = all ? `${n} pairs` : `${state.marked.filter(Boolean).length} of ${n} pairs`;
    chips.hidden = !ranges.length;
    for (const plot of plots) {
      plot.frame(state.ranges);
      plot.paint();
    }
  }

  function brush(ranges) {
    state.ranges = ranges || {};
    update();
  }

  function toolbar() {
    const sort = make(
      "select",
      { id: "sort", on: { change: () => sheet.order(order(sort.value)) } },
      Object.entries(keys).map(([key, { name }]) => make("option", { value: key }, name)),
    );
    const least = make("input", {
      type: "range",
      id: "least",
      min: 0,
      max: 1,
      step: 0.01,
      value: 0,
      on: {
        input: () => {
          state.least = Number(least.value);
          reading.textContent = shown(state.least);
          update();
        },
      },
    });
    const reading = make("output", { for: "least" }, "0.00");
    const only = checkbox("only", (ticked) => {
      state.only = ticked;
      update();
    });
    const kinds = segments(
      "Which pairs",
      { all: "all pairs", like: "both Gabor-like" },
      "all",
      (kind) => {
        state.both = kind;
        update();
      },
    );
    return make(
      "div",
      { class: "toolbar" },
      make("div", { class: "row" }, make("label", { for: "sort" }, "Sort by"), sort),
      make("div", { class: "row" }, kinds, make("label", {}, only, " hide the others")),
      make(
        "div",
        { class: "row" },
        make("label", { for: "least" }, "Score at least"),
        least,
        reading,
      ),
      make("div", { class: "row found" }, count, chips),
    );
  }

  // ---- One pair

  const detail = make("section", {
    class: "panel detail",
    id: "detail",
    "aria-label": "The chosen pair",
  });

  function views(set, i, tile) {
    const { height, width } = set.images;
    const plane = set.images.get(i);
    return make(
      "div",
      { class: "views" },
      make(
        "figure",
        { class: "view" },
        make("div", { class: "frame" }, tile),
        make("figcaption", {}, `filter ${i}`),
      ),
      canvasFigure("Gabor function", `Gabor function fitted to filter ${i} of ${set.name}`, (c) =>
        drawSigned(c, gabor(set.fit, i, height, width), height, width),
      ),
      canvasFigure(
        "spectrum",
        `amplitude spectrum of filter ${i} of ${set.name}, from minus to plus half a cycle per pixel`,
        (c) => drawGrey(c, spectrum(plane, height, width), SPECTRUM_SIDE, SPECTRUM_SIDE),
        "smooth",
      ),
    );
  }

  function facts(i, j) {
    const row = (name, value) =>
      make(
        "tr",
        {},
        make("th", { scope: "row" }, name),
        make("td", {}, value(a, i)),
        make("td", {}, value(b, j)),
      );
    return make(
      "table",
      { class: "facts-table" },
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("td", {}),
          make("th", { scope: "col" }, a.name),
          make("th", { scope: "col" }, b.name),
        ),
      ),
      make(
        "tbody",
        {},
        row("R² of the Gabor fit", (set, k) => shown(set.fit.r2[k])),
        row("orientation", (set, k) => `${shown(set.degrees[k], 0)}°`),
        row("cycles per pixel", (set, k) => shown(set.fit.peak_frequency[k], 3)),
        row("bandwidth, octaves", (set, k) =>
          set.fit.bandwidth[k] === null ? "low-pass" : shown(set.fit.bandwidth[k]),
        ),
        row("n_x, n_y", (set, k) => `${shown(set.fit.n_x[k])}, ${shown(set.fit.n_y[k])}`),
        row("phase", (set, k) => `${shown((set.fit.phase[k] * 180) / Math.PI, 0)}°`),
      ),
    );
  }

  function choose(k, seen = false) {
    if (k === undefined) return;
    state.chosen = k;
    sheet.select(k);
    const [i, j] = [pairs.a[k], pairs.b[k]];
    const sign = pairs.signs[k] < 0 ? ", shown with its sign turned" : "";
    const bar = make("span", {
      class: "score",
      role: "img",
      "aria-label": `score ${shown(pairs.scores[k])} of 1`,
    });
    bar.style.setProperty("--score", pairs.scores[k]);
    const [down, right] = pairs.shifts[k];
    detail.replaceChildren(
      make(
        "div",
        { class: "detail-head" },
        make("h2", { id: "pair-name" }, `Score ${shown(pairs.scores[k])}`),
        make(
          "span",
          { class: like[k] ? "tag yes" : "tag" },
          like[k] ? "both Gabor-like" : "not both Gabor-like",
        ),
      ),
      bar,
      make("h3", { class: "set-name" }, a.name),
      views(
        a,
        i,
        picture(a.sheet, i, PICTURE / data.sheets[a.sheet].size[0], `filter ${i} of ${a.name}`),
      ),
      make("h3", { class: "set-name" }, b.name),
      views(b, j, partner(k, PICTURE, `filter ${j} of ${b.name}${sign}`)),
      facts(i, j),
      make(
        "p",
        { class: "note" },
        `The score is the cosine at the best sign and shift: here ${shown(down, 0)} down and ${shown(right, 0)} to the right, in pixels of the larger filters${sign && `; the second filter is${sign.slice(1)}`}.`,
      ),
    );
    if (!seen) sheet.reveal();
    shapes.ring(shapes.places[k], partners[k]);
  }

  // ---- The plots

  const shapes = new Shapes({
    name: "shapes",
    label: "Shapes over macaque cells",
    macaque: data.macaque,
    brush,
    choose,
    help: `Dots: ${a.name}. Open squares: ${b.name}. Gabor-like filters only; grey: counts of macaque cells. Drag to select pairs by the first filter.`,
  });
  const at = (set, i) => (set.fit.like[i] ? shapes.place(set.fit.n_x[i], set.fit.n_y[i]) : null);
  shapes.places = everyone.map((k) => at(a, pairs.a[k]));
  const partners = everyone.map((k) => at(b, pairs.b[k]));
  shapes.points = (context) => {
    shapes.atoms(context, state.marked, partners, square, "second");
    shapes.atoms(context, state.marked);
  };
  const quality = new Quality({
    name: "quality",
    label: "How many are Gabor-like",
    help: `The share of filters whose fit reaches each R². Solid: ${a.name}; long dashes: ${b.name}; short dashes and dots: the same with scrambled phases.`,
    lines: [
      { values: a.phase.r2, style: "null dashed" },
      { values: b.phase.r2, style: "null dotted" },
      { values: b.fit.r2, style: "second long" },
      { values: a.fit.r2, style: "atoms" },
    ],
  });
  const distance = new Strip({
    name: "distance",
    label: "Distances between the two sets",
    unit: "energy distance: 0 equal, 1 apart",
    help: "Dots with their intervals of 95 %. Grey bands: what a random split of both sets gives; only dots beyond them differ.",
    rows: c.distances.map((row) => ({
      ...row,
      name: row.name.replace("R2", "R²"),
      style: "atoms",
    })),
  });
  const overlap = new Strip({
    name: "overlap",
    label: "What the sets share, and by chance",
    unit: "0 none, 1 all",
    left: 210,
    help: "Dots with their intervals; crosses: the second set with scrambled phases, ticks: band-pass noise.",
    rows: c.overlaps.map(({ name, atoms, phase, noise }) => ({
      name: name.split(",")[0].replace("mean score of the best pairs", "mean score of the pairs"),
      value: atoms[0],
      interval: atoms.slice(1),
      style: "atoms",
      others: [
        { value: phase[0], style: "null" },
        { value: noise[0], style: "macaque" },
      ],
    })),
  });
  const plots = [shapes];

  function measures() {
    const text = ([value, low, high]) =>
      value === null ? "–" : `${shown(value)} [${shown(low)}, ${shown(high)}]`;
    const head = ["", a.name, "with scrambled phases", b.name, "with scrambled phases"];
    return make(
      "section",
      { class: "panel last", "aria-label": "Measures" },
      make("h2", {}, "Measures of both sets"),
      make(
        "div",
        { class: "scroll" },
        make(
          "table",
          { class: "measures" },
          make(
            "thead",
            {},
            make(
              "tr",
              {},
              head.map((words) => make("th", { scope: "col" }, words)),
            ),
          ),
          make(
            "tbody",
            {},
            Object.entries(a.measures).map(([name, of]) =>
              make(
                "tr",
                {},
                make("th", { scope: "row" }, name.replace("R2", "R²").replace(">=", "≥")),
                make("td", {}, text(of.atoms)),
                make("td", { class: "soft" }, shown(of.phase[0])),
                make("td", {}, text(b.measures[name].atoms)),
                make("td", { class: "soft" }, shown(b.measures[name].phase[0])),
              ),
            ),
          ),
        ),
      ),
    );
  }

  const element = make(
    "div",
    { class: "columns" },
    make(
      "div",
      { class: "wide" },
      make(
        "section",
        { class: "panel", "aria-label": "Pairs" },
        make(
          "p",
          { class: "pair-title" },
          make("strong", {}, a.title),
          " with ",
          make("strong", {}, b.title),
        ),
        toolbar(),
        sheet.element,
      ),
      make(
        "section",
        { class: "plots", "aria-label": "Plots" },
        make("div", {}, shapes.element, overlap.element),
        make("div", {}, distance.element, quality.element),
      ),
      measures(),
    ),
    make("div", { class: "narrow" }, detail),
  );
  const start = () => {
    sheet.order(order("score"));
    update();
    choose(sheet.visible[0]);
  };
  return { element, start };
}

switcher(data.comparisons, {
  id: "comparison",
  label: "Comparison",
  name: ({ name }) => name,
  build: comparisonPage,
});
